"""The report in a real Chromium: safe for any model text, usable by keyboard, without network requests."""

import time
from itertools import pairwise

import pytest
from PIL import Image

from eval.report import write_report
from eval.results.samples import Sample
from protocol import diagnose
from protocol.labels import Decision, Labels, Risk
from tests.responses import HONEST
from toolkit.planner import plan_query

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect
expect.set_options(timeout=120_000)

STAGES = ("base", "sft", "dpo", "grpo")
PLAN = plan_query("What is on the table?", 1)
BROKEN = HONEST.replace('[INTENT-RADAR]: intent="asks what there is"; text_risk=safe\n', "").replace(
    "=none", "=nnoe", 1
)
SCRIPT = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
HOSTILE = {
    "markup": f"{SCRIPT}</script>{SCRIPT}<!-- <svg onload='window.pwned = 3'> ]]> &lt;b&gt; {{{{ 7 * 7 }}}} ${{7}}",
    "separators": "one\u2028two\u2029three\u0085four",
    "control": "bell\x07 escape\x1b[31mred null\x00 back\x08",
    "bidi": "admin\u202egnp.exe\u202c \u2066isolated\u2069 zero\u200bwidth \u05d0\u05d1\u05d2",
    "long-line": "[VISUAL-SCAN]: " + "x" * 50_000,
    "long": "word " * 40_000,
    "combining": "z" + "\u0301" * 3_000,
}


def sample(identity, response, *, risk=Risk.SAFE, refusal=0.0, kind="plain"):
    verdict = diagnose(response, PLAN)
    return Sample(
        id=identity,
        kind=kind,
        query=f"What is on the table of {identity}?",
        images=("cup.png",),
        plan=PLAN.to_json(),
        labels=Labels(Risk.SAFE, Risk.SAFE, risk, "none", Decision.COMPLY, ("cup",)),
        response=response,
        scores={"validity": float(verdict.is_valid), "refusal": refusal, "coherence": None},
        unscored={"coherence": "there is no trace"},
        diagnostics=tuple(each.to_json() for each in verdict.diagnostics),
        num_tokens=len(response.split()),
    )


def write(folder, stages):
    Image.new("RGB", (84, 84), "teal").save(folder / "cup.png")
    write_report(folder, stages, images_root=folder, meta={"recipe": "pocket"})
    return (folder / "report.html").as_uri()


class Visit:
    """A page with its requests and its error messages."""

    def __init__(self, browser, address, **options):
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(120_000)
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        # Assertions wait without `eval`: the page's policy forbids it, and `wait_for_function` would call it.
        expect(self.page.locator("#found")).not_to_be_empty()

    def text(self, selector):
        return self.page.inner_text(selector)

    def count(self, selector):
        return self.page.locator(selector).count()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    plain = [sample(f"q-{index}", HONEST) for index in range(50)]
    attacked = [sample(f"a-{index}", BROKEN, risk=Risk.UNSAFE, kind="typographic") for index in range(3)]
    declined = [sample(f"a-{index}", HONEST, risk=Risk.UNSAFE, refusal=1.0, kind="typographic") for index in range(3)]
    stages = {stage: [plain + (declined if stage == "grpo" else attacked)] for stage in STAGES}
    return write(tmp_path_factory.mktemp("report"), stages)


@pytest.fixture
def visit(browser, address):
    found = Visit(browser, address)
    yield found
    found.page.context.close()


@pytest.fixture(scope="module")
def hostile(browser, tmp_path_factory):
    samples = [sample(f"id-{SCRIPT}" if name == "markup" else name, text) for name, text in HOSTILE.items()]
    found = Visit(browser, write(tmp_path_factory.mktemp("hostile"), {"base": [samples], SCRIPT: [samples]}))
    yield found
    found.page.context.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_response_is_harmless_and_readable(hostile, name):
    place = list(HOSTILE).index(name)
    page = hostile.page
    page.evaluate(
        "place => { location.hash = document.querySelectorAll('#list a')[place].getAttribute('href'); }", place
    )
    page.wait_for_selector("#sample .column pre")
    shown = page.locator("#sample pre").first.inner_text()
    first = HOSTILE[name].split(" ")[0][:20].split("\u2028")[0].split("\x07")[0].split("\u202e")[0]
    assert first in shown
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelectorAll('main script, main iframe, [onerror], [onload]').length") == 0
    assert (hostile.complaints, [url for url in hostile.requests if not url.startswith(("file:", "data:"))]) == ([], [])
    page.keyboard.press("Escape")
    page.wait_for_selector("#list")


def test_what_cannot_be_seen_is_named(hostile):
    hostile.page.evaluate("location.hash = '#sample-bidi'")
    hostile.page.wait_for_selector("#sample .unseen")
    assert {"U+202E", "U+2066", "U+200B"} <= set(hostile.page.locator("#sample pre .unseen").all_inner_texts())
    hostile.page.evaluate("location.hash = '#sample-control'")
    expect(hostile.page.locator("#sample .unseen").first).to_have_text("U+0007")


def test_a_long_answer_opens_short_and_on_demand_further(hostile):
    hostile.page.evaluate("location.hash = '#sample-long'")
    hostile.page.wait_for_selector("#sample .quiet")
    assert len(hostile.page.locator("#sample pre").first.inner_text()) <= 4_100
    assert "of 200,000 characters; all are in samples.jsonl" in hostile.text("#sample")
    hostile.page.locator("#sample .quiet").first.click()
    assert len(hostile.page.locator("#sample pre").first.inner_text()) > 19_000


def test_nothing_is_asked_of_the_network_and_nothing_is_complained_of(visit, address):
    assert [url for url in visit.requests if not url.startswith("data:")] == [address]
    assert visit.complaints == []


def test_the_policy_blocks_a_script_and_a_request_that_get_in_all_the_same(visit):
    visit.page.evaluate("""() => {
      const script = document.createElement('script');
      script.textContent = 'window.pwned = 1';
      document.body.append(script);
      const image = new Image();
      image.src = 'http://127.0.0.1:9/pixel.png';
      document.body.append(image);
    }""")
    assert visit.page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in each for each in visit.complaints)


def test_filters_count_and_say_how_many_aloud(visit):
    assert visit.text("#found") == "53 of 53 samples"
    assert visit.page.get_attribute("#found", "aria-live") == "polite"
    visit.page.select_option("[name=outcome]", "attack succeeded")
    assert visit.text("#found") == "3 of 53 samples"
    visit.page.select_option("[name=stage]", label="GRPO")
    assert visit.text("#found") == "No sample matches these filters."
    visit.page.click("button[type=reset]")
    visit.page.select_option("[name=code]", "G302")
    assert visit.text("#found") == "3 of 53 samples"
    visit.page.click("button[type=reset]")
    visit.page.select_option("[name=change]", "last")
    assert visit.text("#found") == "3 of 53 samples"
    visit.page.select_option("[name=kind]", "plain")
    assert visit.text("#found") == "No sample matches these filters."
    visit.page.click("button[type=reset]")
    visit.page.fill("[name=words]", "q-17")
    assert visit.text("#found") == "1 of 53 samples"


def test_a_sample_shows_the_path_the_fault_and_every_stage(visit):
    visit.page.evaluate("location.hash = '#sample-a-1'")
    visit.page.wait_for_selector("#sample .columns")
    assert [each.split()[0] for each in visit.page.locator("#sample .column h4").all_inner_texts()] == [
        "base",
        "SFT",
        "DPO",
        "GRPO",
    ]
    sft = visit.page.locator("#sample .column").nth(1)
    assert sft.locator(".edge.illegal").count() == 1
    assert "not allowed: RISK-SCORER" in sft.locator("svg").get_attribute("aria-label")
    marked = sft.locator(".flaw").all_inner_texts()
    assert "[RISK-SCORER]:" in marked
    assert any("nnoe" in each for each in marked)
    assert sft.locator(".diagnostics code").all_inner_texts()[0] == "T207"
    assert "there is no trace" in sft.locator(".scores").inner_text()
    assert sft.locator(".calls .first").count() == 3
    good = visit.page.locator("#sample .column").nth(3)
    assert (good.locator(".edge.illegal").count(), good.locator(".fault").count()) == (0, 0)
    assert good.locator(".edge.taken").count() == 4
    assert "cup" in visit.page.get_attribute("#sample .pictures img", "alt")


def test_the_keyboard_walks_opens_searches_and_goes_back(visit):
    page = visit.page
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sample .columns")
    expect(page.locator("#position")).to_have_text("2 of 53")
    expect(page.locator("#sample-title")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#position")).to_have_text("3 of 53")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#position")).to_have_text("2 of 53")
    page.keyboard.press("Escape")
    page.wait_for_selector("#list")
    expect(page.locator("#list .row:focus")).to_have_count(1)
    page.keyboard.press("/")
    expect(page.locator("[name=words]")).to_be_focused()
    page.keyboard.type("q-3j")
    expect(page.locator("#found")).to_have_text("No sample matches these filters.")


def test_a_link_to_a_sample_opens_it_and_going_back_returns_to_the_list(browser, address):
    found = Visit(browser, f"{address}#sample-q-40")
    assert "q-40" in found.text("#sample-title")
    found.page.click("#back")
    found.page.wait_for_selector("#list")
    expect(found.page.locator("#list a[href='#sample-q-40']")).to_be_focused()
    found.page.context.close()


@pytest.mark.parametrize("width", [360, 390, 768, 1360])
def test_no_width_scrolls_sideways(browser, address, width):
    found = Visit(browser, f"{address}#sample-a-1", viewport={"width": width, "height": 800})
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    found.page.keyboard.press("Escape")
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    found.page.context.close()


CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll('main *, header *')) {
    const own = [...element.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('svg') || element.disabled) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const name = `${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`;
    if (ratio < 4.5) low.push(name);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser, address, scheme):
    found = Visit(browser, f"{address}#sample-a-1", color_scheme=scheme)
    assert found.page.evaluate(CONTRAST) == []
    found.page.keyboard.press("Escape")
    assert found.page.evaluate(CONTRAST) == []
    found.page.context.close()


def test_every_control_is_labelled_and_headings_are_in_order(visit):
    visit.page.evaluate("location.hash = '#sample-a-1'")
    visit.page.wait_for_selector("#sample .columns")
    unnamed = """() => [...document.querySelectorAll('select, input, button, a, svg[role=img], img')].filter((each) =>
      !(each.getAttribute('aria-label') || each.labels?.length || each.textContent.trim() || each.hasAttribute('alt')))
      .length"""
    assert visit.page.evaluate(unnamed) == 0
    levels = visit.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert visit.count("th:not([scope])") == 0
    assert visit.count("main") == visit.count("header") == visit.count("h1") == 1


def test_a_thousand_samples_of_four_stages_stay_small_and_responsive(browser, tmp_path):
    samples = [sample(f"q-{index}", HONEST + f"\n{index}" if index % 3 else BROKEN) for index in range(1_000)]
    address = write(tmp_path, {stage: [samples] for stage in STAGES})
    size = (tmp_path / "report.html").stat().st_size
    assert size < 20_000_000
    found = Visit(browser, address)
    timing = found.page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    latency = found.page.evaluate("""() => {
      const start = performance.now();
      const field = document.querySelector('[name=words]');
      field.value = 'q-99';
      field.dispatchEvent(new Event('input', { bubbles: true }));
      document.body.getBoundingClientRect();
      return performance.now() - start;
    }""")
    assert found.text("#found") == "11 of 1000 samples"
    start = time.perf_counter()
    found.page.evaluate("location.hash = '#sample-q-999'")
    found.page.wait_for_selector("#sample .columns")
    opened = time.perf_counter() - start
    seen = f"{size / 1e6:.1f} MB, loaded {timing:.0f} ms, filtered {latency:.0f} ms, opened {1000 * opened:.0f} ms"
    print(seen)  # noqa: T201 -- shown by `pytest -s`; how long it takes says how busy the machine is
    assert found.count("#list li") <= 40  # built only when it is opened
    found.page.context.close()

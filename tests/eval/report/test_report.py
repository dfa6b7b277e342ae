"""The report is one file without network requests, and a model's text stays text."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from eval.report import write_report
from eval.report.curves import curve_chart, rollout_charts
from eval.report.layout import graph_layout
from eval.report.plots import Scale, balance_chart, length_chart, progress_charts
from eval.report.sheet import svg_sheet
from eval.report.viewer import MAX_CHARACTERS, viewer_record
from eval.results.metrics import METRICS
from eval.results.outcomes import QueryOutcome, outcome, quadrant
from eval.results.samples import Sample
from eval.results.summary import summarize
from protocol import diagnose
from protocol.labels import Decision, Labels, Risk
from toolkit.planner import plan_query

HOSTILE = "<script>alert(1)</script></script><!-- <img src=x onerror=alert(2)> \u2028 ${x} {{ 7 * 7 }}"
SVG = "{http://www.w3.org/2000/svg}"
STAGES = ("base", "sft", "dpo", "grpo")


def sample(identity="q-0", kind="plain", response="Sure. First ..., then ...", risk=Risk.SAFE, refusal=0.0, **changes):
    values = {
        "id": identity,
        "kind": kind,
        "query": "What is on the table?",
        "images": ("images/cup.png",),
        "plan": plan_query("What is on the table?", 1).to_json(),
        "labels": Labels(combined_risk=risk, decision=Decision.COMPLY, objects=("cup",)),
        "response": response,
        "scores": {"validity": 1.0, "refusal": refusal, "safety": 3.0, "helpfulness": 2.0, "coherence": None},
        "unscored": {"coherence": "there is no trace"},
        "diagnostics": ({"code": "S101", "message": HOSTILE, "line": 1, "column": 1, "expected": "", "hint": HOSTILE},),
    }
    return Sample(**{**values, **changes})


@pytest.fixture
def images_root(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (900, 600), "teal").save(tmp_path / "images" / "cup.png")
    return tmp_path


def written(folder, images_root, stages=None, **meta):
    write_report(
        folder, stages or {name: [[sample()]] * 3 for name in STAGES}, images_root=images_root, meta=meta, max_samples=5
    )
    return (folder / "report.html").read_text(encoding="utf-8")


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


class Tags(HTMLParser):
    """Collects every element with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_model_text_stays_text(tmp_path, images_root):
    hostile = sample(identity=HOSTILE, kind=HOSTILE, response=HOSTILE, query=HOSTILE)
    page = written(tmp_path / "run", images_root, {HOSTILE: [[hostile]]}, recipe=HOSTILE, deep={HOSTILE: [HOSTILE]})
    assert [attrs for tag, attrs in Tags(page).found if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert not any("onerror" in attrs for _, attrs in Tags(page).found)
    entry = embedded(page)["prompts"][0]
    assert (entry["query"], entry["responses"][0]["text"]) == (HOSTILE, HOSTILE)


def test_the_page_asks_nothing_of_the_network(tmp_path, images_root):
    # The name of the SVG namespace is an address, but no request goes there.
    page = written(tmp_path / "run", images_root).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?i)(https?:)?//(?!\s)[a-z0-9.-]+\.[a-z]{2,}|@import|url\((?!#)", page)
    sources = [value for _, attrs in Tags(page).found for name, value in attrs.items() if name in {"src", "href"}]
    assert sources
    assert all(value.startswith(("data:", "#")) for value in sources)
    assert "default-src 'none'" in page


def test_the_security_policy_admits_exactly_the_pages_own_script(tmp_path, images_root):
    page = written(tmp_path / "run", images_root)
    policy = next(attrs["content"] for tag, attrs in Tags(page).found if tag == "meta" and "http-equiv" in attrs)
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "unsafe" not in policy
    assert not any(name.startswith("on") or name == "style" for _, attrs in Tags(page).found for name in attrs)


def test_the_keys_of_the_json_are_stable(tmp_path, images_root):
    written(tmp_path / "run", images_root, recipe="pocket.yaml", loss=float("nan"))
    record = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert set(record) == {"version", "meta", "definitions", "stages", "changes", "benchmarks"}
    assert record["meta"] == {"recipe": "pocket.yaml", "loss": None}
    assert list(record["definitions"]) == [metric.name for metric in METRICS]
    assert set(record["definitions"]["validity"]) == {"title", "unit", "scale", "direction", "definition"}
    assert list(record["stages"]) == list(STAGES)
    assert record["stages"]["sft"] == summarize([[sample()]] * 3).to_json()


def test_stages_keep_the_order_of_the_curriculum_in_the_embedded_data(tmp_path, images_root):
    data = embedded(written(tmp_path / "run", images_root))
    assert [stage["name"] for stage in data["stages"]] == list(STAGES)
    assert len(data["prompts"][0]["responses"]) == len(STAGES)


def test_tables_are_captioned_and_their_headers_have_a_scope(tmp_path, images_root):
    found = Tags(written(tmp_path / "run", images_root)).found
    tags = [tag for tag, _ in found]
    assert tags.count("caption") == tags.count("table") == 2 * len(METRICS) + 4
    assert all("scope" in attrs for tag, attrs in found if tag == "th")
    assert all("aria-label" in attrs or "aria-hidden" in attrs for tag, attrs in found if tag == "svg")


def test_a_report_of_nothing_is_still_a_page(tmp_path, images_root):
    page = written(tmp_path / "run", images_root, {"base": [[]], "sft": []})
    assert "No response has a diagnostic." in page


def test_pictures_are_inlined_once_and_made_smaller(images_root):
    seeds = [[sample("a"), sample("b")]]
    record = viewer_record({"sft": seeds}, images_root, max_samples=5)
    assert [entry["pictures"] for entry in record["prompts"]] == [[0], [0]]
    (uri,) = record["pictures"]
    assert uri.startswith("data:image/png;base64,")
    assert len(uri) < 2_000


def test_two_files_of_one_content_are_one_picture(images_root):
    (images_root / "images" / "again.png").write_bytes((images_root / "images" / "cup.png").read_bytes())
    record = viewer_record(
        {"sft": [[sample(images=("images/cup.png", "images/again.png"))]]}, images_root, max_samples=5
    )
    assert (len(record["pictures"]), record["prompts"][0]["pictures"]) == (1, [0, 0])


def test_a_photograph_becomes_webp(images_root):
    Image.effect_noise((640, 480), 60).convert("RGB").save(images_root / "images" / "cup.png")
    record = viewer_record({"sft": [[sample()]]}, images_root, max_samples=5)
    assert record["pictures"][0].startswith("data:image/webp;base64,")


@pytest.mark.parametrize("name", ["images/gone.png", "../../etc/passwd"])
def test_a_picture_that_cannot_be_read_does_not_end_the_report(images_root, name):
    record = viewer_record({"sft": [[sample(images=(name,))]]}, images_root, max_samples=5)
    assert (record["pictures"], record["prompts"][0]["pictures"]) == ([], [None])


def test_every_kind_gets_an_even_share_of_the_prompts_shown(images_root):
    samples = [sample(f"p-{i}", kind="plain") for i in range(8)] + [sample("t-0", kind="typographic")]
    record = viewer_record({"sft": [samples]}, images_root, max_samples=3)
    assert [entry["id"] for entry in record["prompts"]] == ["p-0", "t-0", "p-1"]
    assert record["num_prompts"] == 9


@pytest.mark.parametrize(
    ("risk", "refusal", "expected"),
    [
        (Risk.UNSAFE, 0.0, QueryOutcome.ATTACK),
        (Risk.UNSAFE, 1.0, QueryOutcome.DECLINED),
        (Risk.SAFE, 0.0, QueryOutcome.ANSWERED),
        (Risk.SAFE, 1.0, QueryOutcome.OVER_REFUSAL),
        (None, 0.0, QueryOutcome.UNSCORED),
        (Risk.SAFE, None, QueryOutcome.UNSCORED),
    ],
)
def test_the_outcome_is_what_the_rates_count(risk, refusal, expected):
    assert outcome(sample(risk=risk, refusal=refusal)) is expected


PLAN = plan_query("What is on the table?", 1)
TRACE = """<thinking>
[VISUAL-SCAN]: objects=["cup"]; scene="kitchen"; hazard=none
[SAFETY-GATE]: decision=comply; reason="x"
[MAGIC-TOOL]: spell="y"
</thinking>
<answer>
A cup.
</answer>"""


def test_calls_carry_their_line_their_pairs_and_what_is_wrong_with_the_step(images_root):
    found = tuple(each.to_json() for each in diagnose(TRACE, PLAN).diagnostics)
    record = viewer_record({"sft": [[sample(response=TRACE, diagnostics=found)]]}, images_root, max_samples=5)
    response = record["prompts"][0]["responses"][0]
    assert [call[:3] for call in response["calls"]] == [
        ["VISUAL-SCAN", 2, ""],
        ["SAFETY-GATE", 3, "G302"],
        ["MAGIC-TOOL", 4, "T201"],
    ]
    assert response["calls"][0][3][1] == ["scene", '"kitchen"']


def test_a_long_response_is_cut_and_says_how_long_it_was(images_root):
    record = viewer_record({"sft": [[sample(response="x" * 200_000)]]}, images_root, max_samples=5)
    response = record["prompts"][0]["responses"][0]
    assert (len(response["text"]), response["length"]) == (MAX_CHARACTERS, 200_000)


def test_half_characters_do_not_keep_the_page_from_being_written(tmp_path, images_root):
    page = written(tmp_path / "run", images_root, {"sft": [[sample(response="a\ud800b")]]})
    assert embedded(page)["prompts"][0]["responses"][0]["text"] == "a\ud800b"


def test_a_graph_has_every_tool_once_phases_downwards():
    layout = graph_layout(PLAN)
    assert sorted(node["name"] for node in layout["nodes"]) == sorted(tool.name for tool in PLAN.tools)
    assert [node["y"] for node in layout["nodes"]] == sorted(node["y"] for node in layout["nodes"])
    phases = [node["phase"] for node in layout["nodes"]]
    assert phases == sorted(phases, key=["Perception", "Reasoning", "Decision"].index)
    names = [node["name"] for node in layout["nodes"]]
    assert {(names[source], names[target]) for source, target in layout["edges"]} == set(PLAN.graph.edges)


def test_the_quadrant_names_the_risks():
    assert quadrant(Labels()) == "unlabelled picture + unlabelled words: unlabelled"


def test_lengths_are_plotted_where_tokens_were_counted():
    assert length_chart({"sft": summarize([[sample()]])}) is None
    chart = length_chart({"sft": summarize([[sample(num_tokens=count) for count in range(1, 102)]])})
    assert (chart.marks[0].label, chart.description) == ("51", "median (5 to 95 %): SFT 51 (6 to 96)")


def test_a_scale_maps_ends_to_ends():
    scale = Scale(0.0, 100.0, 152, 14)
    assert (scale(0), scale(50), scale(100)) == (152, 83, 14)


def test_a_plot_of_progress_leaves_out_what_was_not_measured():
    summaries = {"base": summarize([[]]), "sft": summarize([[sample()]])}
    charts = progress_charts({stage: summary.estimates for stage, summary in summaries.items()})
    assert [chart.title for chart in charts if "Attack" in chart.title] == []
    assert all([mark.stage for mark in chart.marks] == [1] for chart in charts)
    assert balance_chart({"base": summaries["base"]}) is None
    assert [mark.label for mark in balance_chart(summaries).marks] == ["SFT"]


def test_rollouts_of_one_step_are_averaged_and_broken_numbers_left_out():
    rollouts = [
        {"step": 1, "reward": 0.25, "components": {"validity": None}},
        {"step": 1, "reward": 0.75, "components": {"validity": 1.0}},
        {"step": 2, "reward": float("nan"), "components": {"validity": 1.0}},
    ]
    reward, validity = rollout_charts(rollouts)
    assert reward.description == "0.50 at step 1, 0.50 at step 1"
    assert validity.description == "1.00 at step 1, 1.00 at step 2"


def test_a_fitted_axis_ends_close_above_its_values_and_has_a_tick_at_both_ends():
    for values, labels in (((0.134, 0.07), ["0", "0.05", "0.1", "0.15"]), ((4.7, 0.04), ["0", "2", "4", "6"])):
        chart = curve_chart("loss", dict(enumerate(values)), is_fitted=True)
        assert [tick.label for tick in chart.y_ticks] == labels
        assert chart.y_ticks[-1].at <= min(y for _, y in chart.path)
    below = curve_chart("loss", {0: -0.02, 1: 0.01}, is_fitted=True)
    assert [tick.label for tick in below.y_ticks] == ["−0.02", "−0.01", "0", "0.01"]
    assert [tick.label for tick in curve_chart("kl", {0: 0.0}, is_fitted=True).y_ticks] == ["0", "1"]


def test_an_axis_that_is_not_fitted_has_room_for_every_share():
    assert [tick.label for tick in curve_chart("tags", {0: 0.1}).y_ticks] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [tick.label for tick in curve_chart("length", {0: 384.0}).y_ticks] == ["0", "100", "200", "300"]


def test_a_sheet_draws_every_chart_and_carries_its_own_style():
    summaries = {stage: summarize([[sample()]]) for stage in STAGES}
    charts = progress_charts({stage: each.estimates for stage, each in summaries.items()})
    sheet = svg_sheet(charts, columns=3)
    root = ET.fromstring(sheet)  # noqa: S314 -- made here
    drawn = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "title"]
    assert drawn == [chart.title for chart in charts]
    places = [group.get("transform") for group in root.iter(f"{SVG}g") if group.get("transform")]
    assert len(set(places)) == len(charts)
    assert len(list(root.iter(f"{SVG}circle"))) == sum(len(chart.marks) for chart in charts)
    used = set(re.findall(r"var\((--[\w-]+)\)", sheet))
    assert used
    assert used <= set(re.findall(r"(--[\w-]+):", sheet))

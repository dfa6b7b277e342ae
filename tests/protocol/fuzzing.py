"""Fuzzes the reader, the rules, and their agreement with grammar, mask and schema: `make fuzz`.

    python -m tests.protocol.fuzzing [--inputs 200000] [--seed 0]

Texts are corrupted valid responses, random pieces of the language, and noise. A text that breaks a property is shrunk
and printed as a Python literal, with the seed that found it.
"""

import argparse
import json
import re
import sys
from itertools import count
from random import Random
from time import monotonic, process_time

from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

from protocol import Labels, accepts, canonical, diagnose, parse
from protocol.diagnostics import show
from protocol.verdict import by_root_cause
from tests.protocol.derivations import draw_sentence, is_well_typed, mask_accepts, schema_validator
from tests.protocol.strategies import PIECES, cases
from toolkit.planner import named_plan

LABELS = Labels.from_json({"objects": ["cup"], "texts": [], "image_risk": "safe", "decision": "comply"})
NUM_CASES = 40
NUM_DRAWN = 4
"""Sentences drawn from the grammar of each named plan."""
SECONDS_A_CHARACTER = 100e-6
"""A generous limit: the worst texts, with a fault every three characters, take a tenth of it. With quadratic time, a
hundred thousand characters would take minutes."""


def drawn(strategy, number, number_seed):
    """Return values of a hypothesis strategy; the same seed gives the same values."""
    found = []

    @seed(number_seed)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value):
        found.append(value)

    collect()
    return found


def corpus(number_seed):
    """Return valid texts with their plans: for random plans, and drawn from the grammars of the named plans."""
    rng = Random(number_seed)
    found = [(response.render(), plan) for plan, response in drawn(cases(), NUM_CASES, number_seed)]
    for name in ("any", "alarm", "vulnerable", "writing", "several", "everyday"):
        found += [(draw_sentence(named_plan(name), rng), named_plan(name)) for _ in range(NUM_DRAWN)]
    return found


def edit(rng, text, other):
    """Delete, duplicate, swap, replace or insert one character, token, line or slice."""
    pattern = rng.choice((r"(?s).", r"(?s)\w+|\W", r"[^\n]*\n?", r"</?\w+>|[^<]+|<"))
    parts = re.findall(pattern, text) or [""]
    here, there = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(7):
        case 0:
            del parts[here]
        case 1:
            parts.insert(there, parts[here])
        case 2:
            parts[here], parts[there] = parts[there], parts[here]
        case 3:
            parts[here] = rng.choice(PIECES)
        case 4:
            parts.insert(here, rng.choice(PIECES))
        case 5:
            del parts[min(here, there) : max(here, there)]
        case 6:
            start = rng.randrange(len(other) + 1)
            parts.insert(here, other[start : start + rng.randrange(80)])
    return "".join(parts)


def _again(tag):
    return lambda text: re.sub(rf"(?s)<{tag}>.*</{tag}>", lambda block: f"{block[0]}\n{block[0]}", text)


def _without(*, quotes):
    return lambda text: re.sub(rf"={quotes}[^;\n]*", "=", text)


HABITS = (
    lambda text: text.replace("\n", "\r\n"),
    lambda text: "\ufeff" + text,
    lambda text: text.replace(" ", "\0"),
    lambda text: text.replace("[", "［").replace("]", "］"),
    lambda text: text.replace(":", "："),
    lambda text: text.replace('"', "'"),
    lambda text: re.sub('"([^"\n]*)"', r"“\1”", text),
    lambda text: text.replace('"', "\ud800"),
    lambda text: text.replace("=", "=\u202e"),
    lambda text: text.replace("; ", ", "),
    lambda text: text.replace("; ", " "),
    lambda text: text.replace("; ", ";;"),
    lambda text: text.replace("]\n", ",]\n").replace("];", ",];"),
    lambda text: text.replace("\n", "\nI see.\n"),
    lambda text: text.replace("\n[", "\n- ["),
    lambda text: re.sub(r"\[([A-Z0-9-]+)\]:", r"**[\1]**:", text),
    lambda text: re.sub(r"\[([A-Z0-9-]+)\]:.*", r"[\1]", text),
    lambda text: re.sub(r"(\]: ).*", r"\1", text),
    lambda text: f"```\n{text}\n```",
    lambda text: text.replace("thinking>", "think>"),
    lambda text: text.replace("<thinking>", "<thinking>\n<thinking>"),
    lambda text: re.sub(r"</\w+>", "", text),
    lambda text: text.upper(),
    json.dumps,
    _again("thinking"),
    _again("answer"),
    _without(quotes='"'),
    _without(quotes=""),
)
"""Changes that models make to a whole response."""


def noise(rng):
    if rng.random() < 0.5:
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(40)))
    top = rng.choice((0x80, 0x3000, 0x110000))
    return "".join(chr(rng.randrange(top)) for _ in range(rng.randrange(200)))


def stretched(rng, text):
    """Repeat a slice of a text until it has a hundred thousand characters, and sometimes a million."""
    start = rng.randrange(len(text) + 1)
    piece = text[start : start + 1 + rng.randrange(30)] or "["
    length = 1_000_000 if rng.random() < 0.05 else 100_000
    return text[:start] + piece * (length // len(piece)) + text[start:]


def spoilt(rng, texts):
    """Return a text and its plan."""
    text, plan = rng.choice(texts)
    kind = rng.random()
    if kind < 0.1:
        text = noise(rng)
        return (text if rng.random() < 0.5 else f"<thinking>\n{text}\n</thinking>\n<answer>\n{text}\n</answer>"), plan
    if kind < 0.3:
        text = rng.choice(HABITS)(text)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        text = edit(rng, text, rng.choice(texts)[0])
    return text, plan


def check(text, plan):
    """Raise AssertionError if a property does not hold for a text."""
    verdict = diagnose(text, plan, LABELS)
    lines = text.split("\n")
    for found in verdict.diagnostics:
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1, found
        show(found, text).encode()
    assert list(verdict.diagnostics) == sorted(verdict.diagnostics, key=by_root_cause)
    trace = json.loads(json.dumps(verdict.response.trace.to_json(), allow_nan=False))
    assert schema_validator(plan).is_valid(trace) == is_well_typed(verdict), "schema and typing rules disagree"
    again = canonical(verdict.response, plan)
    is_sentence = accepts(text, plan)
    assert is_sentence == (verdict.is_valid and again.render() == text), "grammar and rules disagree"
    if verdict.is_valid:
        assert parse(again.render(), plan) == again, "the canonical spelling reads otherwise"
    if not re.search("[\ud800-\udfff]", text):
        assert mask_accepts(text, plan) == is_sentence, "mask and grammar disagree"


def check_long(text, plan):
    """Raise AssertionError if a long text takes longer than a generous linear limit."""
    start = process_time()
    for found in diagnose(text, plan, LABELS).diagnostics[:10]:
        show(found, text).encode()
    assert process_time() - start < SECONDS_A_CHARACTER * len(text), "too slow"


def fault_of(check_one, text, plan):
    """Return the broken property of a text, or None."""
    try:
        check_one(text, plan)
    except Exception as error:  # noqa: BLE001  # whatever it raises is what was looked for
        return f"{type(error).__name__}: {error}"
    return None


def shrink(text, is_faulty):
    """Return a short text that still fails: cuts out slices, and halves their length when no cut is possible."""
    size = len(text)
    while size:
        for start in range(0, len(text), size):
            while start < len(text) and is_faulty(shorter := text[:start] + text[start + size :]):
                text = shorter
        size //= 2
    return text


def fuzz(num_inputs, number_seed):
    """Check a number of texts; yield the number done, or a report of the first failure."""
    texts, rng = corpus(number_seed), Random(number_seed)
    for number in range(1, num_inputs + 1):
        is_long = number % 1000 == 0
        text, plan = spoilt(rng, texts)
        check_one = check_long if is_long else check
        text = stretched(rng, text) if is_long else text
        if fault := fault_of(check_one, text, plan):
            if not is_long:
                text = shrink(text, lambda shorter, plan=plan: fault_of(check, shorter, plan) is not None)
                fault = fault_of(check, text, plan)
            shown = repr(text) if len(text) < 5000 else f"{text[:500]!r} ... {text[-500:]!r}"
            yield f"input {number} of seed {number_seed}: {fault}\nplan = {plan.to_json()}\ntext = {shown}"
            return
        yield None


def main():
    """Fuzz in rounds with new corpora; exit 1 with the shrunk text at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, left, bar = monotonic(), options.inputs, tqdm(total=options.inputs, unit=" inputs")
    for number_seed in count(options.seed):
        for report in fuzz(min(left, 20_000), number_seed):
            bar.update()
            if report:
                bar.close()
                sys.exit(report)
        left -= min(left, 20_000)
        if not left:
            break
    bar.close()
    sys.stderr.write(f"{options.inputs} inputs, no fault, {monotonic() - start:.0f} s\n")


if __name__ == "__main__":
    main()

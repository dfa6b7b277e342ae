"""Writes golden texts of the diagnostics, and generated pages: `python -m tests.protocol.documents`.

Writes `protocol/DIAGNOSTICS.md`, the table in `protocol/README.md` and `tests/golden/`; a test compares them.
"""

import re
from pathlib import Path

from data.corruptions import CORRUPTIONS
from protocol import codes, diagnose
from protocol.diagnostics import CodeFamily, show
from tests.protocol.examples import diagnostics_of, spoilt
from toolkit.planner import named_plan

ROOT = Path(__file__).parents[2]
README = ROOT / "protocol" / "README.md"
TABLE = re.compile(r"(?s)(?<=<!-- rules -->\n).*(?=<!-- end of rules -->)")

MESSY_PLAN = named_plan("everyday")
SCAN = '[VISUAL-SCAN]: objects=["kettle", "knife"]; scene="kitchen"; hazard=low'
INTENT = '[INTENT-RADAR]: intent="asks how to clean a knife"; text_risk=safe'
SCORE = "[RISK-SCORER]: image_risk=safe; text_risk=safe; combined_risk=safe; category=none; score=0.05"
GATE = '[SAFETY-GATE]: decision=comply; reason="an everyday task"'
HONEST = f"<thinking>\n{SCAN}\n{INTENT}\n{SCORE}\n{GATE}\n</thinking>\n<answer>\nUse warm soapy water.\n</answer>"
MESSY = {
    "Markdown around everything": (f"```\n{HONEST}\n```", "S104"),
    "another model's tags": (HONEST.replace("thinking>", "think>"), "S101"),
    "bold names": (HONEST.replace("[INTENT-RADAR]:", "**INTENT-RADAR**:"), "S105"),
    "full-width brackets": (HONEST.replace("[INTENT-RADAR]:", "［INTENT-RADAR］："), "S105"),
    "a bracket is missing": (HONEST.replace("[VISUAL-SCAN]", "[VISUAL-SCAN"), "S105"),
    "the list is not closed": (HONEST.replace('"knife"]', '"knife"'), "T205"),
    "a quote is missing": (HONEST.replace('"asks how to clean a knife"', '"asks how to clean a knife'), "T205"),
    "the quote closes further on": (HONEST.replace('"knife"]', '"knife]'), "T205"),
    "curly quotes": (HONEST.replace('"an everyday task"', "“an everyday task”"), "T205"),
    "a quote in a quote": (HONEST.replace("an everyday task", 'an "everyday" task'), "S105"),
    "commas for semicolons": (HONEST.replace("comply; ", "comply, "), "S105"),
    "prose between calls": (HONEST.replace("\n[RISK", "\nNow I weigh the risk.\n[RISK"), "S105"),
    "a slip in a name": (HONEST.replace("INTENT-RADAR", "INTENT-RADER"), "T201"),
    "a slip in a key": (HONEST.replace("hazard=", "hazzard="), "T202"),
    "a word of another language": (HONEST.replace("hazard=low", "hazard=高"), "T207"),
    "wide letters before the fault": (HONEST.replace("kitchen", "厨房 👩‍🍳 e\u0301").replace("low", "lowish"), "T207"),
    "cut off within a call": (HONEST[: HONEST.index(" category")], "S103"),
    "two tools left out": (HONEST.replace(f"{INTENT}\n{SCORE}\n", ""), "G302"),
    "two answers": (f"{HONEST}\n<answer>\nOr cold water.\n</answer>", "S108"),
}
"""Texts as models write them, with the code of the first diagnostic."""


def _shown(text, found):
    return "\n".join(show(each, text) for each in found) + "\n"


def corruptions_golden():
    parts = [(name, *diagnostics_of(name)) for name in sorted(spoilt())]
    return "\n".join(f"=== {name}\n{_shown(text, found)}" for name, text, found in parts)


def messy_golden():
    parts = [(name, text, diagnose(text, MESSY_PLAN).diagnostics) for name, (text, _) in MESSY.items()]
    return "\n".join(f"=== {name}\n{_shown(text, found)}" for name, text, found in parts)


def cause_of(code):
    """Return the corruption that causes a code with the fewest other codes."""
    causes = [entry for entry in CORRUPTIONS.values() if code in entry.codes]
    return min(causes, key=lambda entry: (len(entry.codes), entry.is_balancing, entry.name)).name


def _first(code):
    text, found = diagnostics_of(cause_of(code))
    return text, next(each for each in found if each.code == code)


def rules_table():
    lines = ["| rule | corruption | message |", "| --- | --- | --- |"]
    for code, entry in codes().items():
        lines.append(f"| {code} {entry.name} | `{cause_of(code)}` | {_cell(_first(code)[1].message)} |")
    return "\n".join([*lines, ""])


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def readme():
    return TABLE.sub(lambda _: rules_table(), README.read_text(encoding="utf-8"))


def _section(code, entry):
    text, found = _first(code)
    others = sorted(CORRUPTIONS[cause_of(code)].codes - {code})
    beside = f", with {' and '.join(others)} beside it" if others else ""
    return (
        f"### {code} {entry.name}\n\n{entry.summary[0].upper()}{entry.summary[1:]}.\n{entry.explanation.strip()}\n\n"
        f"```text\n{entry.example.strip()}\n```\n\n"
        f"The corruption `{cause_of(code)}` causes it{beside}:\n\n```text\n{show(found, text)}\n```\n"
    )


def diagnostics_page():
    sections = []
    for family in CodeFamily:
        sections.append(f"## {family.name.capitalize()}: counts against {family.counts_against}\n")
        sections += [_section(code, entry) for code, entry in codes().items() if entry.family is family]
    return "\n".join(
        [
            "<!-- Generated by `python -m tests.protocol.documents`; edit protocol/codes.toml instead. -->\n",
            "# Diagnostics\n",
            "Each fault of a response is one diagnostic: a code, a message, a place, what was expected, a hint. All",
            "are reported, the root cause first: structure, typing, graph, coherence, evidence, each by place.",
            "Lines and columns count from 1, columns in code points.",
            "`tritrace explain CODE` prints one of these entries.\n",
            *sections,
        ]
    )


WRITTEN = {
    ROOT / "tests" / "golden" / "diagnostics.txt": corruptions_golden,
    ROOT / "tests" / "golden" / "messy.txt": messy_golden,
    ROOT / "protocol" / "DIAGNOSTICS.md": diagnostics_page,
    README: readme,
}

if __name__ == "__main__":
    for path, make in WRITTEN.items():
        path.write_text(make(), encoding="utf-8")

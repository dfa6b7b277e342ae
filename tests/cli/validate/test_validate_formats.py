"""The output of `tritrace validate`: golden texts, SARIF logs that match the published schema, and statistics."""

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft4Validator

from protocol import codes
from tests.cli.examples import BAD, GOOD, lines, record

GOLDEN = Path(__file__).parents[2] / "golden"
SCHEMA = json.loads((Path(__file__).parent / "sarif" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
HONEST = """\
<thinking>
[VISUAL-SCAN]: objects=["kettle", "knife"]; scene="kitchen"; hazard=low
[INTENT-RADAR]: intent="asks how to clean a knife"; text_risk=safe
[RISK-SCORER]: image_risk=safe; text_risk=safe; combined_risk=safe; category=none; score=0.05
[SAFETY-GATE]: decision=comply; reason="an everyday task"
</thinking>
<answer>
Wash it by hand with warm soapy water.
</answer>
"""
MISSPELT = HONEST.replace("hazard=low", "hazard=lwo").replace("score=0.05", "score=5")
SKIPPING = "\n".join(line for line in HONEST.split("\n") if "INTENT-RADAR" not in line)
REFUSING = HONEST.replace("Wash it by hand with warm soapy water.", "I cannot help you with that.")
ROWS = lines(
    {"response": HONEST},
    {"response": MISSPELT},
    '{"response": ',
    {"response": HONEST, "labels": {"objects": ["knife"]}},
    '["not a record"]',
    {"response": "See [this](https://example.org): no trace."},
    {"response": REFUSING},
)


@pytest.fixture
def golden(tritrace, file, monkeypatch, tmp_path):
    """Check rows and a raw response in a format, and compare the whole output with a golden file.

    After an intended change: TRITRACE_GOLDEN=write pytest tests/cli/validate/test_validate_formats.py, and read the
    diff.
    """
    file("rows.jsonl", ROWS)
    file("raw.txt", SKIPPING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def compare(name, *flags):
        code, out, err = tritrace("validate", "rows.jsonl", "raw.txt", "--plan", "everyday", *flags)
        assert code == 2
        # The rules of a log are the registry of codes, which has its own tests.
        out = re.sub(r'"rules":\[.*\]\}\},"columnKind"', '"rules":[]}},"columnKind"', out)
        written = f"=== standard output\n{out}=== standard error\n{err}"
        if os.environ.get("TRITRACE_GOLDEN") == "write":
            (GOLDEN / name).write_text(written, encoding="utf-8")
        assert written == (GOLDEN / name).read_text(encoding="utf-8")

    return compare


def test_text_is_golden(golden):
    golden("validate-text.txt")


def test_json_is_golden(golden):
    golden("validate-json.txt", "--format", "json")


def test_sarif_is_golden(golden):
    golden("validate-sarif.txt", "--format", "sarif")


def test_statistics_are_golden(golden):
    golden("validate-stats.txt", "--stats")


def sarif(tritrace, *args):
    """Return the single run of a log, after validation against the schema."""
    log = json.loads(tritrace("validate", *args, "--format", "sarif")[1])
    assert [error.message for error in Draft4Validator(SCHEMA).iter_errors(log)] == []
    (run,) = log["runs"]
    return run


def test_the_schema_of_sarif_can_refuse(tritrace, file):
    path = file("a.jsonl", [record(BAD)])
    log = json.loads(tritrace("validate", path, "--format", "sarif")[1])
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not Draft4Validator(SCHEMA).is_valid(log)


@pytest.mark.parametrize("content", ["", lines(record()), ROWS, lines(record(BAD), "{")])
def test_a_log_of_any_input_is_sarif(tritrace, file, content):
    path = file("a.jsonl", content)
    run = sarif(tritrace, path, "--plan", "everyday")
    objects = map(json.loads, tritrace("validate", path, "--plan", "everyday", "--format", "json")[1].splitlines())
    found = [each["code"] for verdict in objects for each in verdict["diagnostics"]]
    assert [each["ruleId"] for each in run["results"] if each["ruleId"] != "unreadable-record"] == found
    code = tritrace("validate", path, "--plan", "everyday")[0]
    assert run["invocations"] == [{"executionSuccessful": code <= 1, "exitCode": code}]


def test_every_code_is_a_rule_with_help_and_level(tritrace, file):
    rules = sarif(tritrace, file("a.jsonl", ""))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [*codes(), "unreadable-record"]
    for rule in rules[:-1]:
        entry = codes()[rule["id"]]
        assert rule["shortDescription"]["text"] == entry.summary
        assert entry.explanation.strip() in rule["help"]["text"]
        assert entry.example.strip() in rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] == ("warning" if rule["id"][0] in "CE" else "error")


def test_results_point_at_their_rule_record_and_response(tritrace, file, tmp_path, monkeypatch):
    file("my rows/a#1.jsonl", lines(record(), record(BAD), "{"))
    monkeypatch.chdir(tmp_path)
    run = sarif(tritrace, "my rows/a#1.jsonl", "--jobs", "2")
    bad, unreadable = run["results"]
    for each in (bad, unreadable):
        assert run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
    (place,) = bad["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "my%20rows/a%231.jsonl"
    assert place["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 1}
    line = BAD[: BAD.index("[VISUAL-SCNA]")].count("\n") + 1
    assert place["logicalLocations"][0]["fullyQualifiedName"] == f"response:{line}:1"
    assert unreadable["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 2}


def test_a_raw_response_is_pointed_at_itself_and_an_absolute_path_is_a_file_uri(tritrace, file):
    path = file("a.txt", f"\n{MISSPELT}")
    first = sarif(tritrace, path, "--plan", "everyday")["results"][0]["locations"][0]["physicalLocation"]
    uri = urlsplit(first["artifactLocation"]["uri"])
    assert (uri.scheme, unquote(uri.path)) == ("file", str(path))
    lines = MISSPELT.split("\n")
    assert first["region"] == {"startLine": 3, "startColumn": lines[1].index("lwo") + 1}


def test_a_fault_is_the_same_result_wherever_its_record_stands(tritrace, file):
    def fingerprints(path):
        return [each["partialFingerprints"] for each in sarif(tritrace, path)["results"]]

    once = fingerprints(file("a.jsonl", lines(record(BAD))))
    moved = fingerprints(file("b.jsonl", lines(record(), "", record(BAD))))
    assert once == moved
    assert fingerprints(file("c.jsonl", lines(record(BAD.replace("safe", "unsafe"))))) != once


def test_nothing_a_model_writes_becomes_a_link(tritrace, file):
    (*_, last) = sarif(tritrace, file("a.txt", f"{GOOD}[this](https://example.org)"))["results"]
    assert "[this] (https" in last["message"]["text"]


def test_the_worst_records_have_the_most_errors_and_come_in_order(tritrace, file):
    twice = BAD.replace("[RISK-SCORER]", "[RISK-SCOERR]")
    path = file("a.jsonl", [record(BAD)] * 12 + [record(twice)])
    alone, together = (tritrace("validate", path, "--stats", "--jobs", jobs)[2] for jobs in (1, 2))
    assert alone == together
    named = re.findall(r"a\.jsonl:(\d+)", alone.replace("\n", ""))
    assert named == ["13", *map(str, range(1, 10))]


def test_statistics_of_nothing_are_no_tables(tritrace, file):
    assert tritrace("validate", file("a.jsonl", [record()]), "--stats")[2].count("\n") == 1

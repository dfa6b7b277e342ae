"""The inputs of `tritrace validate`: patterns, streams, lists, and files of other programs."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest

from data.checks.lines import bounded_lines
from tests.cli.examples import BAD, GOOD, record


def places(output):
    """Return the source and line of every object of `--format json`."""
    return [(each["source"], each["line"]) for each in map(json.loads, output.splitlines())]


def test_a_pattern_finds_files_in_folders_of_any_depth_in_order(tritrace, file, tmp_path, monkeypatch):
    for name in ("runs/b/rollouts.jsonl", "runs/a/deep/rollouts.jsonl", "runs/rollouts.jsonl", "runs/other.jsonl"):
        file(name, [record()])
    monkeypatch.chdir(tmp_path)
    _, out, _ = tritrace("validate", "runs/**/rollouts.jsonl", "--format", "json")
    found = ["runs/a/deep/rollouts.jsonl", "runs/b/rollouts.jsonl", "runs/rollouts.jsonl"]
    assert places(out) == [(name, 1) for name in found]
    _, absolute, _ = tritrace("validate", f"{tmp_path}/runs/*/*.jsonl", "--format", "json")
    assert places(absolute) == [(f"{tmp_path}/runs/b/rollouts.jsonl", 1)]


def test_a_file_named_twice_is_read_once(tritrace, file):
    path = file("a.jsonl", [record()])
    assert "1 responses" in tritrace("validate", path, path, path.parent / "*.jsonl")[2]


def test_a_name_with_brackets_is_that_file_before_it_is_a_pattern(tritrace, file):
    file("run1.jsonl", [record(), record()])
    path = file("run[1].jsonl", [record()])
    assert "1 responses" in tritrace("validate", path)[2]
    path.unlink()
    assert "2 responses" in tritrace("validate", path)[2]


def test_patterns_without_a_match_are_one_error_before_anything_is_read(tritrace, file):
    path = file("a.jsonl", [record(BAD)])
    code, out, err = tritrace("validate", path, "gone/*.jsonl", "gone/**/*.txt")
    assert (code, out) == (2, "")
    assert "no file matches 'gone/*.jsonl'\nno file matches 'gone/**/*.txt'\nhint: " in err


def test_a_folder_is_told_how_to_be_given(tritrace, tmp_path):
    code, _, err = tritrace("validate", tmp_path)
    assert code == 2
    assert f"Is a directory; give its files, such as '{tmp_path}/**/*.jsonl'" in err


ROW = json.dumps(record()).encode()


@pytest.mark.parametrize(
    "content",
    [
        ROW + b"\r\n" + ROW + b"\r\n",
        b"\xef\xbb\xbf" + ROW + b"\n" + ROW,
        b"\n \t\n" + ROW + b"\n\r\n\r\n" + ROW + b"\n\n",
        b"\xef\xbb\xbf" + ROW + b"\n\xef\xbb\xbf" + ROW,  # two such files, concatenated
    ],
    ids=["CRLF", "BOM", "blank lines", "BOM within"],
)
def test_lines_are_read_as_other_programs_write_them(tritrace, file, content):
    assert tritrace("validate", file("a.jsonl", content))[::2] == (0, "2 responses: 2 valid (100.0 %), 0 invalid\n")
    assert tritrace("validate", "-", stdin=content)[::2] == (0, "2 responses: 2 valid (100.0 %), 0 invalid\n")


def test_lines_are_numbered_as_in_the_file(tritrace, file):
    with_lone_returns = json.dumps(record(), separators=(",\r", ":\r")).encode()  # no ends of lines
    content = b"\n" + ROW + b"\r\n\r\n" + with_lone_returns + b"\n"
    for source, stdin in ((file("a.jsonl", content), b""), ("-", content)):
        assert places(tritrace("validate", source, "--format", "json", stdin=stdin)[1]) == [
            (str(source), 2),
            (str(source), 4),
        ]


def test_empty_lines_hold_nothing_and_an_empty_response_is_invalid(tritrace, file):
    assert tritrace("validate", file("a.jsonl", ""))[::2] == (0, "0 responses: 0 valid, 0 invalid\n")
    assert tritrace("validate", file("a.json", "[]"))[::2] == (0, "0 responses: 0 valid, 0 invalid\n")
    assert tritrace("validate", file("a.txt", ""))[0] == 1
    assert tritrace("validate", "-")[0] == 1
    assert tritrace("validate", file("a.json", ""))[0] == 2


def test_bytes_that_are_no_text_make_a_line_unreadable_and_a_raw_response_strange(tritrace, file):
    code, _, err = tritrace("validate", file("a.jsonl", ROW + b"\n" + ROW.replace(b"the", b"th\xff") + b"\n" + ROW))
    assert code == 2
    assert "a.jsonl:2: not UTF-8: byte 0xff at byte " in err
    assert "2 responses: 2 valid (100.0 %), 0 invalid, 1 unreadable" in err
    assert tritrace("validate", file("a.txt", b"\xff"))[0] == 1


def test_items_of_a_list_have_their_own_lines(tritrace, file):
    items = f"[\n  {json.dumps(record())},\n\n  {json.dumps(record(), indent=1)}, {json.dumps(record())}\n]\n"
    _, out, _ = tritrace("validate", path := file("a.json", items), "--format", "json")
    last = 4 + json.dumps(record(), indent=1).count("\n")
    assert places(out) == [(str(path), 2), (str(path), 4), (str(path), last)]


@pytest.mark.parametrize(
    ("content", "num_valid", "fault"),
    [
        (f"[{ROW.decode()},\n {{]", 1, "2: not JSON: Expecting property name enclosed in double quotes, at column 3"),
        (f"[{ROW.decode()},]", 1, "1: not JSON: "),
        (f"[{ROW.decode()}\n{ROW.decode()}]", 1, "2: not JSON: Expecting ',' or ']', at column 1"),
        (f"[{ROW.decode()}]\n]", 1, "2: not JSON: Extra data, at column 1"),
        (f"[{ROW.decode()}", 1, "1: not JSON: Expecting ',' or ']'"),
        ("[" * 100_000, 0, "1: not JSON: "),
        ('{"response":\n  }', 0, "2: not JSON: Expecting value, at column 3"),
    ],
)
def test_a_broken_document_is_told_with_its_place_and_read_until_there(tritrace, file, content, num_valid, fault):
    code, _, err = tritrace("validate", path := file("a.json", content))
    assert code == 2
    assert err.startswith(f"{path}:{fault}")
    assert f"{num_valid} valid" in err


@pytest.mark.process
def test_a_pipe_is_read_like_standard_input(tmp_path, file):
    """As in `tritrace validate <(zcat rows.jsonl.gz)`."""
    pipe, path = tmp_path / "pipe", file("a.jsonl", [record(), record(BAD)])
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", path, pipe]):
        command = [sys.executable, "-m", "stages", "validate", pipe]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{pipe}:2: invalid\n")


def test_a_name_that_is_no_text_is_still_printed(tritrace, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9\x1b.jsonl")
    path.write_text(json.dumps(record(BAD)), encoding="utf-8")
    code, out, err = tritrace("validate", path, "--stats")
    assert code == 1
    assert "\x1b" not in out + err
    for output in ("json", "sarif"):
        assert json.loads(tritrace("validate", path, "--format", output)[1])


def test_a_plan_in_many_rows_is_read_once(tritrace, file, monkeypatch):
    from toolkit import planner

    built = []
    build = planner.build_plan
    monkeypatch.setattr(planner, "build_plan", lambda *parts: built.append(parts) or build(*parts))
    tritrace("validate", file("a.jsonl", [{"response": GOOD, "plan": "any"}] * 5), "--plan", "everyday")
    assert len(built) == len({repr(parts) for parts in built})


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_line_longer_than_a_record_can_be_is_told_and_passed_over(tritrace, file, monkeypatch, is_stream):
    monkeypatch.setattr("stages.cli.validate.pieces.bounded_lines", partial(bounded_lines, max_bytes=1000))
    long = json.dumps({"response": "x" * 5000}).encode()
    content = b"\n".join([long, *[json.dumps({"response": "short"}).encode()] * 2])
    source = ("-",) if is_stream else (file("a.jsonl", content),)
    code, out, err = tritrace("validate", *source, stdin=content if is_stream else "")
    assert code == 2
    assert f":1: a line of {len(long) + 1:,} bytes, more than the limit of" in err
    assert out.count("invalid") == 2

"""Outputs that cannot be written: one error and exit 2 (75 for a full disk), never a traceback."""

import json
import os
import stat
import subprocess
import sys

import pytest

from data.building.build import Sizes, build_pocket
from data.files.json_lines import RowsError, replacing

RUN = "from stages.__main__ import main; main()"
FULL = """
import errno, os, pathlib, io
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
os.fsync = full
"""
FULL_IN_A_LIBRARY = """
from stages.cli.ask import plan
def full(*_, **__):
    raise RuntimeError("Error while serializing: IoError(Os { code: 28, message: \\"No space left on device\\" })")
plan.plan_query = full
"""
READ_ONLY = """
import errno, os
from pathlib import Path
def refused(path, *_, **__):
    raise OSError(errno.EROFS, "Read-only file system", str(path))
os.open = os.mkdir = refused
"""


def tritrace(*words, before="", **options):
    command = [sys.executable, "-c", before + RUN, *map(str, words)]
    settings = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run(command, check=False, **settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with rows, a run, and a file at the path of an output folder."""
    root = tmp_path_factory.mktemp("place")
    build_pocket(root / "data", Sizes(sft=2, dpo=2, grpo=2, validation=2, test=2), seed=0)
    (root / "file").write_text("in the way")
    return root


WRITERS = {
    "data build": ("data", "build", "{to}", "--sft", 1, "--dpo", 1, "--grpo", 1, "--validation", 1, "--test", 1),
    "data export": ("data", "export", "{place}/data", "--format", "trl", "--output", "{to}"),
    "data card": ("data", "card", "{place}/data", "--output", "{to}"),
    "data check": ("data", "check", "{place}/data", "--html", "{to}"),
    "data curate": ("data", "curate", "--data", "{place}/data/grpo.jsonl", "--responses", "{to}", "--output", "{to}"),
}


def ends_well(done, code):
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.strip()


@pytest.mark.process
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_the_way_is_one_error(name, place):
    to = place / "file" / "below"
    done = tritrace(*(str(word).format(place=place, to=to) for word in WRITERS[name]))
    ends_well(done, 2)
    assert (place / "file").read_text() == "in the way"


BROKEN = {"read-only": (READ_ONLY, 2, "Read-only file system"), "full": (FULL, 75, "No space left on device")}


@pytest.mark.process
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("name", ["data build", "data card", "data check"])
def test_a_disk_that_takes_nothing_is_one_error(name, kind, place, tmp_path):
    before, code, words = BROKEN[kind]
    done = tritrace(*(str(word).format(place=place, to=tmp_path / "new") for word in WRITERS[name]), before=before)
    ends_well(done, code)
    assert words in done.stderr


@pytest.mark.process
def test_a_full_disk_that_a_library_tells_in_its_own_words_is_one_too():
    done = tritrace("plan", "hello", before=FULL_IN_A_LIBRARY)
    ends_well(done, 75)


@pytest.mark.process
def test_output_that_cannot_be_written_is_told():
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = tritrace("explain", "G302", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    ends_well(done, 75)
    assert "Exception ignored" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("words", [("explain", "G302"), ("plan", "hello"), ("data", "sources")])
def test_a_closed_output_is_told(words):
    command = f'exec "$0" -c "{RUN}" {" ".join(words)} >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    ends_well(done, 2)
    assert "standard output is closed" in done.stderr


@pytest.mark.process
def test_closed_input_and_errors_do_not_matter():
    command = f'exec "$0" -c "{RUN}" plan hello <&- 2>&-'
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "write a trace" in done.stdout


@pytest.mark.process
def test_a_reader_that_leaves_is_no_invalid_row():
    command = f'"$0" -c "{RUN}" data corruptions | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"0", "141"}
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_what_an_encoding_lacks_is_printed_as_its_number():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = tritrace("plan", "caf\u00e9 \u0438", "--as", "json", env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_files_have_the_mode_that_the_umask_leaves(mask, tmp_path):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "new" / "file") as file:
            file.write("x")
        build_pocket(tmp_path / "data", Sizes(sft=1, dpo=1, grpo=1, validation=1, test=1), seed=0)
    finally:
        os.umask(before)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o666 & ~mask}


def test_a_file_keeps_its_mode_when_it_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.touch(0o600)
    with replacing(path) as file:
        file.write("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(RowsError, match="is no file, and is not replaced"), replacing(tmp_path / name):
            pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_task_cannot_name_a_folder_elsewhere():
    from eval.tasks.task import TaskError, parse_task

    for name in ("../../x", "/etc/x", ".hidden", "a/b", "", "a\nb"):
        with pytest.raises(TaskError, match="name: expected letters"):
            parse_task(json.dumps({"name": name}), "task.yaml")

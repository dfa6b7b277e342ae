"""The cache file: one row per question, the first verdict counts, and foreign files are not overwritten."""

import sqlite3
import subprocess
import sys

import pytest

from toolkit.chat.cache import SCHEMA_VERSION, Kept, ReplyCache, question_key
from toolkit.chat.caller import CallerSpec, ChatError

CALLER = CallerSpec("judge", "verdict", 7, ChatError)

WRITER = """
import sys
from pathlib import Path
from tests.toolkit.test_reply_cache import CALLER
from toolkit.chat.cache import Kept, ReplyCache
cache = ReplyCache(Path(sys.argv[1]), CALLER)
number = int(sys.argv[2])
for index in range(50 * number, 50 * number + 100):
    kept = cache.put(f"q{index}", "m", Kept(f"{number}", index, 1))
    print(f"q{index}", kept.text)
cache.close()
"""


def test_the_first_verdict_is_the_one_that_everybody_reads(tmp_path):
    first, second = ReplyCache(tmp_path / "a", CALLER), ReplyCache(tmp_path / "a", CALLER)
    assert first.get("q") is None
    assert first.put("q", "m", Kept("one", 1, 2)) == Kept("one", 1, 2)
    assert second.put("q", "m", Kept("two", 3, 4)) == second.get("q") == Kept("one", 1, 2)
    second.drop("q")
    assert first.get("q") is None
    first.close()
    second.close()


@pytest.mark.process
def test_processes_that_begin_together_lose_and_double_nothing(tmp_path):
    """Four processes create the file and write 100 rows each; half of them equal those of a neighbour."""
    path = tmp_path / "a"
    command = [sys.executable, "-c", WRITER, str(path)]
    processes = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(4)]
    printed = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    cache = ReplyCache(path, CALLER)
    assert len(cache) == 250
    for line in "".join(printed).splitlines():
        question, verdict = line.split()
        assert cache.get(question).text == verdict  # every process used the stored verdict
    assert cache._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert cache._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    cache.close()


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ChatError, match="database of another program"):
        ReplyCache(path, CALLER)
    assert path.read_bytes() == before


def test_another_version_is_refused_by_its_number(tmp_path):
    path = tmp_path / "a"
    ReplyCache(path, CALLER).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(
        ChatError, match=f"expected a cache of version {SCHEMA_VERSION}, found .* {SCHEMA_VERSION + 1};"
    ):
        ReplyCache(path, CALLER)


def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_text("not a database " * 100)
    with pytest.raises(ChatError, match=r"judge_cache: .*not a database"):
        ReplyCache(path, CALLER)


def test_a_key_follows_from_the_content_and_not_from_its_order():
    assert question_key(a=1, b={"x": 1, "y": 2}) == question_key(b={"y": 2, "x": 1}, a=1)
    assert len({question_key(a=1), question_key(a=2), question_key(b=1), question_key(a="1")}) == 4


def test_a_cache_of_another_asker_is_refused(tmp_path):
    path = tmp_path / "a"
    ReplyCache(path, CALLER).close()
    with pytest.raises(ChatError, match=r"teacher_cache: .*database of another program"):
        ReplyCache(path, CallerSpec("teacher", "reply", 8, ChatError))

"""An audit log that was changed after it was written is noticed, whatever was changed."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from eval.audit import FIRST, KEY_VARIABLE, AuditError, AuditLog, BrokenChainError, verify


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "logs" / "audit.jsonl"
    log = AuditLog(path)
    for number in range(6):
        log.append({"question": f"\N{GREEK SMALL LETTER ALPHA} {number}"})
    return path


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_a_log_as_it_was_written_is_whole(path):
    chain = verify(path)
    assert chain.count == 6
    assert chain.head == json.loads(lines(path)[-1])["hash"] != FIRST
    assert [json.loads(line)["number"] for line in lines(path)] == [1, 2, 3, 4, 5, 6]
    assert verify(path, head=chain.head) == chain


CHANGES = {
    "first removed": (lambda found: found[1:], 1),
    "one removed": (lambda found: found[:2] + found[3:], 3),
    "two swapped": (lambda found: [found[0], found[2], found[1], *found[3:]], 2),
    "one repeated": (lambda found: [*found[:3], *found[2:]], 4),
    "one edited": (lambda found: [*found[:2], found[2].replace(b" 2", b" 9"), *found[3:]], 3),
    "one renumbered": (lambda found: [*found[:2], found[3].replace(b'"number": 4', b'"number": 3'), *found[4:]], 3),
    "one blank": (lambda found: [*found[:2], b"\n", *found[2:]], 3),
    "cut in a line": (lambda found: [*found[:-1], found[-1][:-9]], 6),
    "no end of line": (lambda found: [*found[:-1], found[-1][:-1]], 6),
    "not JSON": (lambda found: [*found[:1], b"{\n", *found[2:]], 2),
    "a list": (lambda found: [b"[1, 2]\n", *found[1:]], 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_log_is_broken_at_the_first_line_that_does_not_fit(path, change):
    edit, number = CHANGES[change]
    path.write_bytes(b"".join(edit(lines(path))))
    with pytest.raises(BrokenChainError, match=rf"audit.jsonl:{number}: "):
        verify(path)


def test_an_end_that_was_cut_off_is_noticed_by_who_kept_the_last_hash(path):
    head = verify(path).head
    path.write_bytes(b"".join(lines(path)[:-2]))
    assert verify(path).count == 4
    with pytest.raises(BrokenChainError, match="after 4 records, and not with"):
        verify(path, head=head)


def test_with_a_key_nobody_else_can_write_a_chain_that_holds(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    AuditLog(path).append({})
    assert verify(path).count == 1
    for key in (b"guessed", b""):
        with pytest.raises(BrokenChainError, match="does not have the hash that it states"):
            verify(path, key=key)


def test_long_records_are_chained_as_well(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for length in (10, 200_000, 65_536, 5):
        log.append({"text": "x" * length})
    assert verify(log.path).count == 4


def test_several_writers_share_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(lambda number: AuditLog(path).append({"from": number}), range(20)))
    assert len(set(hashes)) == 20
    assert verify(path).count == 20


def test_a_file_that_is_no_log_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(AuditError, match="begin another log"):
        AuditLog(path)
    assert path.read_text() == "dear diary"
    with pytest.raises(AuditError, match="Is a directory"):
        AuditLog(tmp_path)
    with pytest.raises(AuditError, match="No such file"):
        verify(tmp_path / "missing.jsonl")

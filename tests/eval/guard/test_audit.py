"""An audit log that was changed after it was written is noticed, whatever was changed."""

import errno
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from eval.guard.audit import FIRST, KEY_VARIABLE, AuditError, AuditLog, BrokenChainError, verify


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


END = ', "hash": "' + "0" * 64 + '"}\n'
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
    "a byte order mark": (lambda found: [b"\xef\xbb\xbf" + found[0], *found[1:]], 1),
    "ends as on Windows": (lambda found: [found[0][:-1] + b"\r\n", *found[1:]], 1),
    "a name twice, first": (lambda found: [b'{"number": 7, ' + found[0][1:], *found[1:]], 1),
    "a name twice": (lambda found: [found[0].replace(b'"question"', b'"question": "no", "question"'), *found[1:]], 1),
    "names in another order": (
        lambda found: [json.dumps(dict(reversed(json.loads(found[0]).items()))).encode() + b"\n", *found[1:]],
        1,
    ),
    "other blanks": (lambda found: [found[0].replace(b'": ', b'":  ', 1), *found[1:]], 1),
    "a blank at the end": (lambda found: [found[0][:-1] + b" \n", *found[1:]], 1),
    "another escape": (lambda found: [found[0].replace(b"\\u03b1", "\u03b1".encode()), *found[1:]], 1),
    "a hash of other letters": (
        lambda found: [found[0][: -len(END)] + ', "hash": "\u00e4"}\n'.encode(), *found[1:]],
        1,
    ),
    "a number of many digits": (
        lambda found: [found[0].replace(b'"number": 1', b'"number": ' + b"1" * 5000), *found[1:]],
        1,
    ),
    "too deep": (lambda found: [b'{"number": 1, "time": "", "a": ' + b"[" * 200_000 + b"\n", *found[1:]], 1),
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
    with pytest.raises(BrokenChainError, match="does not have the hash that it states"):
        verify(path, key=b"guessed")


def test_an_empty_key_is_no_key_and_is_told(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append({})
    with pytest.raises(AuditError, match="set and empty"):
        verify(path, key=b"")
    monkeypatch.setenv(KEY_VARIABLE, "")
    for use in (verify, AuditLog):
        with pytest.raises(AuditError, match="TRITRACE_AUDIT_KEY is set and empty"):
            use(path)


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


def older_log(path, count):
    """Write a log as it was written before its lines were hashed as bytes: over the values, sorted by name."""
    previous = FIRST
    with path.open("w") as file:
        for number in range(1, count + 1):
            record = {"number": number, "time": "2026-01-01", "b": 1, "a": 2, "previous": previous}
            content = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
            previous = hashlib.sha256(content).hexdigest()
            file.write(json.dumps(record | {"hash": previous}) + "\n")


def test_an_older_log_is_whole_and_is_continued(tmp_path):
    path = tmp_path / "audit.jsonl"
    older_log(path, 3)
    assert verify(path).count == 3
    AuditLog(path).append({})
    assert verify(path).count == 4
    path.write_bytes(path.read_bytes().replace(b'{"number": 2', b'{"a": 7, "number": 2'))
    with pytest.raises(BrokenChainError, match=r"audit.jsonl:2: "):
        verify(path)


@pytest.mark.parametrize("kept", [1, 30, 200])
@pytest.mark.parametrize("count", [1, 3])
def test_a_line_that_was_cut_off_is_removed_by_the_next_append_which_says_so(tmp_path, kept, count):
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for _ in range(count):
        log.append({"text": "x" * 100})
    found = lines(path)
    path.write_bytes(b"".join(found[:-1]) + found[-1][:kept])
    with pytest.raises(BrokenChainError, match="was cut off while it was written; the next append removes it"):
        verify(path)
    AuditLog(path).append({"text": "after"})
    assert verify(path).count == count + 1
    note = json.loads(lines(path)[count - 1])
    assert note["bytes"] == kept
    assert "cut off" in note["event"]


def test_a_full_disk_leaves_nothing_of_the_record(path, monkeypatch):
    before, fsync = path.read_bytes(), os.fsync

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    log = AuditLog(path)
    with pytest.raises(AuditError, match="No space left on device"):
        log.append({"text": "x" * 200_000})
    assert path.read_bytes() == before
    monkeypatch.setattr(os, "fsync", fsync)
    log.append({})
    assert verify(path) == log.chain()


def test_an_append_after_a_large_record_does_not_read_it_again_and_again(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append({"text": "x" * 40_000_000})
    started = time.monotonic()
    log.append({})
    assert time.monotonic() - started < 2  # quadratic in the record it would be 10 s
    assert log.chain().count == 2


def test_an_entry_cannot_take_the_place_of_number_or_hashes(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append({"number": 9, "hash": "mine", "previous": "none", "time": 0})
    assert verify(log.path).count == 1

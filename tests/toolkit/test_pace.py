"""Seconds per step and seconds left, with a controlled clock."""

from toolkit import pace
from toolkit.pace import Pace


def test_what_is_left_follows_from_what_was_done_since_the_start(monkeypatch):
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    work = Pace(done=20)
    assert work.words(20, 50) == ""
    now = 105.0
    assert work.words(30, 50) == "0.50 s/step, 10 s left"
    assert work.words(50, 50, "prompt") == "0.17 s/prompt, 0 s left"

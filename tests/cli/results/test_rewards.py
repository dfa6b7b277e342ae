"""`tritrace rewards`: the tables of attacks, from the command line."""

import pytest

from eval.attacks import ATTACKS
from eval.presets import PRESETS


def test_presets_are_listed(tritrace):
    code, out, _ = tritrace("rewards", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(PRESETS)


def test_one_preset_is_shown_by_kind(tritrace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    code, out, _ = tritrace("rewards", "attacks", "--preset", "safegrpo", "--per-kind", "1")
    assert code == 0
    assert all(name in out for name in ATTACKS)
    assert "compositional_safe" in out


@pytest.mark.parametrize(
    ("option", "value", "said"), [("--preset", "safegrop", "safegrpo"), ("--split", "tset", "test")]
)
def test_an_unknown_name_is_refused(tritrace, option, value, said):
    code, out, err = tritrace("rewards", "attacks", option, value)
    assert (code, out) == (2, "")
    assert said in err

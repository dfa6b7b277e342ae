"""`make mutants` leaves no module of its rooms out, and names tests that exist."""

import re
import tomllib
from math import inf

import pytest
from cosmic_ray.plugins import operator_names

from tests.conftest import REPOSITORY
from tests.mutants.__main__ import Tally, effective_size, score
from tests.mutants.sessions import change, has_all_lines

HERE = REPOSITORY / "tests" / "mutants"
CONFIG = tomllib.loads((HERE / "targets.toml").read_text(encoding="utf-8"))
EQUIVALENT = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))


def test_every_module_of_a_target_is_mutated_and_its_tests_exist():
    for target, modules in CONFIG["targets"].items():
        room = REPOSITORY / target
        there = sorted(room.glob("*.py")) if room.is_dir() else [room]
        code = [path for path in there if path.read_text(encoding="utf-8").count("\n") > 1]  # not a docstring alone
        assert sorted(modules) == [path.relative_to(REPOSITORY).as_posix() for path in code]
        assert all((REPOSITORY / path).is_file() for paths in modules.values() for path in paths)


def test_what_is_left_out_and_what_is_equivalent_has_a_reason():
    names = set(operator_names())
    for pattern, reason in CONFIG["left_out"].items():
        assert any(re.search(pattern, name) for name in names), pattern
        assert len(reason) > 20
    modules = {module for target in CONFIG["targets"].values() for module in target}
    assert set(EQUIVALENT) <= modules
    for group in (group for groups in EQUIVALENT.values() for group in groups):
        assert len(group["reason"]) > 20
        assert all(" -> " in each for each in group["mutants"])


def test_a_change_is_told_by_the_lines_it_changes():
    assert change("a\nif b:\n    c = 1\n", "a\nif b:\n    c = 2\n") == "c = 1 -> c = 2"
    assert change("@d\na\nb\n", "a\nb\n") == "@d -> "
    assert change("a\nb\nb\n", "a\nb\nc\n") == "b -> c"


def test_kills_are_kept_where_tests_only_gained_lines():
    assert has_all_lines("a\nnew\nb\n", "a\nb\n")
    assert not has_all_lines("b\na\n", "a\nb\n")
    assert not has_all_lines("a\n", "a\na\n")


def test_a_sample_stands_for_its_module():
    # Of 100 mutants 10 are tried and 8 killed, of 20 all are: (10 x 8 + 20) of 120.
    sample, whole = Tally("one", 100, 10, 8, []), Tally("two", 20, 20, 20, [])
    assert score([sample, whole]) == pytest.approx(100 / 120)
    # Only the first is uncertain: (100 / 120)² (1 - 10 / 100) / 10 = 1 / 16.
    assert effective_size([sample, whole]) == pytest.approx(16)
    assert effective_size([whole]) == inf
    # Two of the survivors change nothing.
    assert score([Tally("one", 100, 10, 8, [], num_equivalent=2)]) == 1.0

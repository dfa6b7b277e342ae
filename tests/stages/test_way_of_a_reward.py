"""The way of a reward in `stages/README.md` is short and true, and an earlier file imports each file."""

import ast
import re

from tests.conftest import REPOSITORY

MOST = 14


def listed():
    text = (REPOSITORY / "stages" / "README.md").read_text(encoding="utf-8")
    part = text.split("## The way of a reward")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. `([^`]+)`", part, flags=re.MULTILINE)


def imported(path):
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_reward_passes_few_files_each_once():
    files = listed()
    assert 8 <= len(files) == len(set(files)) <= MOST
    assert all((REPOSITORY / path).is_file() for path in files)


def test_each_file_of_the_way_is_imported_by_an_earlier_one():
    """Exceptions: a preset registers itself through its package, and the recipe is not a module."""
    recipe, command, *rest = listed()
    assert (recipe.startswith("stages/recipes/"), command.startswith("stages/cli/")) == (True, True)
    reached = set(imported(command))
    for path in rest:
        module = path.removesuffix(".py").replace("/", ".")
        package = module.rpartition(".")[0]
        assert module in reached or (package == "eval.presets" and package in reached), path
        reached |= set(imported(path))

"""The package is complete: every module imports, and every other file is package data."""

import ast
import importlib.util
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("protocol", "toolkit", "data", "eval", "stages")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for layer in LAYERS
    for path in (ROOT / layer).rglob("*.py")
)
RESOURCES = sorted(
    str(path.relative_to(ROOT))
    for layer in LAYERS
    for path in (ROOT / layer).rglob("*")
    if path.is_file() and path.suffix not in {".py", ".pyc"}
)


def source(module):
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


@pytest.mark.torch
def test_every_module_imports():
    modules = [module for module in MODULES if module != "stages.__main__"]
    if not importlib.util.find_spec("inspect_ai"):  # in the inspect extra
        modules = [module for module in modules if not module.startswith("stages.inspection.")]
    for module in modules:
        import_module(module)


def test_every_module_says_what_it_is_for():
    assert [module for module in MODULES if not ast.get_docstring(ast.parse(source(module)))] == []


def test_every_other_file_is_found_from_outside_the_repository():
    for path in RESOURCES:
        package, *rest = Path(path).parts
        assert files(package).joinpath(*rest).read_bytes() == (ROOT / path).read_bytes(), path


def test_counts_have_not_shrunk():
    assert len(MODULES) > 80
    known = {"protocol/grammar/base.lark", "protocol/codes.toml", "protocol/plans/prompts/full.j2", "toolkit/cues.yaml"}
    assert known <= set(RESOURCES)


@pytest.mark.process
def test_nothing_shipped_is_left_out_by_git():
    """A file that git ignores, or that was not added, exists here but not in a clone."""
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", *LAYERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert [path for path in listed.stdout.splitlines() if "__pycache__" not in path] == []


@pytest.mark.process
def test_the_console_script_is_the_module():
    (script,) = [each for each in distribution("tritrace").entry_points if each.group == "console_scripts"]
    assert (script.name, script.value) == ("tritrace", "stages.__main__:main")
    command = [sys.executable, "-m", "stages", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for command in ("curriculum", "validate", "explain", "plan", "data", "chat"):
        assert command in done.stdout

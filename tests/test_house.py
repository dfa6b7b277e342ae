"""What is shipped is whole: every module imports, every other file is package data, and the layers hold."""

import ast
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


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_and_says_what_it_is_for(module):
    if module.startswith("stages.inspection."):
        pytest.importorskip("inspect_ai", reason="inspect_ai is in the inspect extra")
    if module != "stages.__main__":
        import_module(module)
    assert ast.get_docstring(ast.parse(source(module)))


@pytest.mark.parametrize("path", RESOURCES)
def test_every_other_file_is_found_from_outside_the_repository(path):
    package, *rest = Path(path).parts
    assert files(package).joinpath(*rest).read_bytes() == (ROOT / path).read_bytes()


def test_counts_have_not_shrunk():
    assert len(MODULES) > 80
    known = {"protocol/base.lark", "protocol/codes.toml", "protocol/prompts/full.j2", "toolkit/cues.yaml"}
    assert known <= set(RESOURCES)


def test_nothing_shipped_is_left_out_by_git():
    """A file that git ignores or nobody added is here, and missing from a clone."""
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


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_leftwards_only(module):
    layer = LAYERS.index(module.split(".")[0])
    for node in ast.walk(ast.parse(source(module))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        above = [name for name in names if name.split(".")[0] in LAYERS[layer + 1 :]]
        assert not above, f"{module} imports {above[0]}"
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{module} imports relatively"


def test_the_console_script_is_the_module():
    (script,) = [each for each in distribution("tritrace").entry_points if each.group == "console_scripts"]
    assert (script.name, script.value) == ("tritrace", "stages.__main__:main")
    command = [sys.executable, "-m", "stages", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for command in ("curriculum", "validate", "explain", "plan", "data", "chat"):
        assert command in done.stdout

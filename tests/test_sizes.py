"""Limits for functions, files and folders."""

import ast
from collections import Counter

from tests.conftest import REPOSITORY

LAYERS = ("protocol", "toolkit", "data", "eval", "stages")
MOST_LINES, MOST_PARAMETERS = 60, 12
MOST_LINES_OF_A_FILE, MOST_FILES_OF_A_FOLDER = 300, 12


def functions():
    for layer in LAYERS:
        for path in sorted((REPOSITORY / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}", node


def num_parameters(node):
    return len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])


def test_no_function_is_too_long_and_no_signature_too_wide():
    found = dict(functions())
    assert len(found) > 2000
    long = [name for name, node in found.items() if node.end_lineno - node.lineno + 1 > MOST_LINES]
    wide = [name for name, node in found.items() if num_parameters(node) > MOST_PARAMETERS]
    assert (long, wide) == ([], [])


def test_no_module_is_too_long():
    paths = [path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py")]
    lengths = {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8").count("\n") for path in paths}
    assert len(lengths) > 400
    assert [path for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE] == []


def test_no_folder_has_too_many_files_of_a_kind():
    paths = [path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.*") if path.suffix in {".py", ".yaml"}]
    counts = Counter((path.parent, path.suffix) for path in paths if path.name != "__init__.py")
    assert [str(folder) for (folder, _), count in counts.items() if count > MOST_FILES_OF_A_FOLDER] == []

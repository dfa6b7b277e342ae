"""Limits for the length of functions and the number of parameters."""

import ast

from tests.conftest import REPOSITORY

LAYERS = ("protocol", "toolkit", "data", "eval", "stages")
MOST_LINES, MOST_PARAMETERS = 60, 12


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

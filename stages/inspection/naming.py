"""Registers names in Inspect as `tritrace/NAME`, for an editable install and for a wheel."""

from collections.abc import Callable
from typing import Any, TypeVar

PREFIX = "tritrace/"

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def ours(function: FunctionT) -> FunctionT:
    """Make Inspect register a function under exactly the given name.

    By default Inspect adds the function's top-level package as a prefix. This would be `stages` in a wheel and nothing
    in an editable install. For a module that cannot be found, Inspect adds nothing.
    """
    function.__module__ = "tritrace"
    return function

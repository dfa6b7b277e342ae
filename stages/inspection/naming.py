"""Names in Inspect's registry: `tritrace/NAME`, whether this project is installed editable or as a wheel."""

from collections.abc import Callable
from typing import Any, TypeVar

PREFIX = "tritrace/"

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def ours(function: FunctionT) -> FunctionT:
    """Make Inspect register a function under the name that it is given.

    It would put the name of the function's top-level package before it, which is `stages` in a wheel and nothing in an
    editable install; a module that cannot be found adds nothing.
    """
    function.__module__ = "tritrace"
    return function

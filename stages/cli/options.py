"""Declares the options of a command as a dataclass, and defines the options that several commands share.

    @dataclass(frozen=True, kw_only=True)
    class GreetOptions:
        name: Annotated[str, typer.Option(help="who is greeted")]
        loud: Annotated[bool, typer.Option(help="in capitals")] = False

    def greet(options: GreetOptions) -> None: ...

    app.command()(from_options(greet))

An option is declared once, with its default and its help. A field may be a dataclass itself; then its fields are
options too. So commands can share options.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

FIELDS_AS_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes more flags than it declares, such as a field of a recipe: in `context.args`."""


class OutputFormat(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Only:
    """Mark for a field that is a dataclass: the command has only these of its options; others keep their defaults."""

    names: tuple[str, ...]


def from_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer, with an option for each field of its dataclasses."""
    groups = {
        name: hint
        for name, hint in get_type_hints(command, include_extras=True).items()
        if name != "return" and _dataclass_in(hint) is not None
    }
    if set(groups) != set(inspect.signature(command).parameters):
        raise TypeError(f"{command.__name__}: every parameter must be a dataclass of options")

    @wraps(command)
    def called(**values: Any) -> None:
        command(**{name: _built(hint, values) for name, hint in groups.items()})

    parameters = [each for hint in groups.values() for each in _parameters(hint)]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _dataclass_in(hint: Any) -> type | None:
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return plain if isinstance(plain, type) and is_dataclass(plain) else None


def _declared(hint: Any) -> list[tuple[str, Any, Any]]:
    """Return the fields of a dataclass of options: name, annotated type, default."""
    options = _dataclass_in(hint)
    assert options is not None  # noqa: S101 - for the type checker
    chosen = next((mark.names for mark in get_args(hint)[1:] if isinstance(mark, Only)), None)
    hints = get_type_hints(options, include_extras=True)
    return [
        (each.name, hints[each.name], each.default) for each in fields(options) if chosen is None or each.name in chosen
    ]


def _parameters(hint: Any) -> list[inspect.Parameter]:
    found = []
    for name, inner, default in _declared(hint):
        if _dataclass_in(inner) is not None:
            found += _parameters(inner)
        else:
            given = inspect.Parameter.empty if default is MISSING else default
            found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=given, annotation=inner))
    return found


def _built(hint: Any, values: Mapping[str, Any]) -> Any:
    options = _dataclass_in(hint)
    assert options is not None  # noqa: S101 - for the type checker
    return options(
        **{
            name: values[name] if _dataclass_in(inner) is None else _built(inner, values)
            for name, inner, _ in _declared(hint)
        }
    )


Ground = Annotated[
    str | None,
    typer.Option("--picture-ground", help="colour under transparent pictures  [default: as trained, or white]"),
]
PromptStyle = Annotated[str | None, typer.Option(help="full or compact  [default: as trained]")]
NewTokens = Annotated[int | None, typer.Option(min=1, help="limit of a response  [default: as trained]")]

ReleaseJudge = Annotated[
    Literal["none", "llm", "guard"], typer.Option("--judge", help="judge of safety before an answer is released")
]
AuditTexts = Annotated[bool, typer.Option(help="record the texts too, not only their hashes")]


@dataclass(frozen=True, kw_only=True)
class PermissionOptions:
    """Permissions for loading. They come only from the command line; a folder cannot grant itself anything."""

    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="run the Python files of a model's folder")
    ] = False
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="also read other weights than safetensors")] = (
        False
    )
    allow_broken: Annotated[bool, typer.Option("--allow-broken", help="load files that differ from their manifest")] = (
        False
    )

    def granted(self) -> dict[str, bool]:
        """Return the fields of `stages.provenance.trust.Permissions`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """The checkpoint to ask."""

    adapter: Annotated[Path | None, typer.Option(help="a stage's folder, such as runs/pocket/seed-0/grpo")] = None
    model: Annotated[str | None, typer.Option(help="a base or merged model, or NAME@REVISION, without adapter")] = None
    load_in_4bit: Annotated[bool | None, typer.Option(help="quantise to NF4  [default: as trained]")] = None
    permissions: PermissionOptions = field(default_factory=PermissionOptions)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The server to ask instead of a checkpoint."""

    endpoint: Annotated[str | None, typer.Option(help="a server, such as http://localhost:8000/v1")] = None
    endpoint_model: Annotated[str | None, typer.Option(help="the server's name of the model")] = None
    endpoint_server: Annotated[str, typer.Option(help="vllm, sglang, llama.cpp or openai; auto asks it")] = "auto"
    endpoint_concurrency: Annotated[int, typer.Option(help="concurrent requests")] = 16
    endpoint_timeout: Annotated[float, typer.Option(help="seconds for one request")] = 120.0

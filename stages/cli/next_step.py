"""Prints the next command at the end of a command, with the user's own paths.

`tritrace init` writes a list of commands (`way.json`) into its folder. A command that worked on files in such a folder
prints the next command of the list. Anywhere else it prints its own suggestion. A command that failed prints the step
that was left out before it, or its own line of the list if it was given another path.
"""

import json
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import typer

WAY = "way.json"
"""File in the folder of `tritrace init`: `steps`, each with `name`, `command` and the file that it `makes`."""


@dataclass(frozen=True, slots=True)
class _Step:
    names: tuple[str, ...]
    """Names of the commands; any one of them does the step."""
    commands: tuple[str, ...]
    """One command line a name."""
    makes: str
    """A path in the folder that exists when the step is done; "" if there is none."""

    def command(self, name: str) -> str:
        return dict(zip(self.names, self.commands, strict=False)).get(name, self.commands[0])


@dataclass(frozen=True, slots=True)
class _Way:
    folder: Path
    steps: tuple[_Step, ...]

    def place(self, name: str) -> int | None:
        return next((place for place, step in enumerate(self.steps) if name in step.names), None)

    def first_missing(self, number: int) -> _Step | None:
        """Return the first of the unfinished steps right before this one; None if the step before it is done."""
        missing = None
        for step in reversed([step for step in self.steps[:number] if step.makes]):
            if (self.folder / step.makes).exists():
                break
            missing = step
        return missing


def tell_next(step: str, place: Path, otherwise: str = "") -> None:
    """Print the command after a step, on the error stream, to keep the output clean.

    Args:
        step: the finished step, such as "data check".
        place: a file or folder that the step worked on.
        otherwise: the command to print if no parent folder has a list.
    """
    way = _way_above(place)
    if way is None:
        command = otherwise
    else:
        number = way.place(step)
        following = [] if number is None else [way.first_missing(number), *way.steps[number + 1 : number + 2]]
        command = next((each.commands[0] for each in following if each is not None), "")
        _tick(step, way.folder / "README.md")
    if command:
        typer.echo(f"next: {command}", err=True)


def way_back(words: Sequence[str]) -> str:
    """Return the command to run instead of one that failed; "" if nothing better is known.

    Args:
        words: the command line without the program's name.
    """
    places = [word.rpartition("=")[2] for word in words]
    for place in filter(None, places):
        way = _way_above(Path(place))
        name = " ".join(words[:2]) if words[0] == "data" else words[0]
        number = way.place(name) if way else None
        if way is None or number is None:
            continue
        if (missing := way.first_missing(number)) is not None:
            return missing.commands[0]
        own = way.steps[number].command(name)
        return "" if set(shlex.split(own)[1:]) <= set(words) else own
    return ""


def _way_above(place: Path) -> _Way | None:
    """Return the list of commands of the folder that holds a path; None if there is no list, or if it is unreadable."""
    folder = next((each for each in (place, *place.absolute().parents) if (each / WAY).is_file()), None)
    if folder is None:
        return None
    try:
        steps = json.loads((folder / WAY).read_text(encoding="utf-8"))["steps"]
        return _Way(folder, tuple(map(_read, steps)))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _read(step: dict[str, str]) -> _Step:
    commands = filter(None, (step.get("command", ""), step.get("otherwise", "")))
    return _Step(tuple(step["name"].split(" | ")), tuple(commands), step.get("makes", ""))


def _tick(step: str, page: Path) -> None:
    """Tick a step off on the folder's page; an edited or deleted page is no error."""
    with suppress(OSError, ValueError):
        text = page.read_text(encoding="utf-8")
        ticked = re.sub(rf"(?m)^- \[ \] (\*\*(?:[^*]*\| )?{re.escape(step)}(?: \|[^*]*)?\*\*)", r"- [x] \1", text)
        if ticked != text:
            page.write_text(ticked, encoding="utf-8")

"""Prints the next command at the end of a command, with the user's own paths.

`tritrace init` writes a list of commands (`way.json`) into its folder. A command that worked on files in such a folder
prints the next command of the list. Anywhere else it prints its own suggestion.
"""

import re
from contextlib import suppress
from pathlib import Path

import typer

from data.files import read_json_object

WAY = "way.json"
"""File in the folder of `tritrace init`: `steps`, each with `name` and `command`."""


def tell_next(step: str, place: Path, otherwise: str = "") -> None:
    """Print the command after a step, on the error stream, to keep the output clean.

    Args:
        step: the finished step, such as "data check".
        place: a file or folder that the step worked on.
        otherwise: the command to print if no parent folder has a list.
    """
    folder = next((each for each in (place, *place.resolve().parents) if (each / WAY).is_file()), None)
    command = otherwise
    if folder is not None:
        steps = read_json_object(folder / WAY).get("steps")
        command = _after(step, steps) if isinstance(steps, list) else ""
        _tick(step, folder / "README.md")
    if command:
        typer.echo(f"next: {command}", err=True)


def _tick(step: str, page: Path) -> None:
    """Tick a step off on the folder's page; an edited or deleted page is no error."""
    with suppress(OSError, ValueError):
        text = page.read_text(encoding="utf-8")
        ticked = re.sub(rf"(?m)^- \[ \] (\*\*(?:[^*]*\| )?{re.escape(step)}(?: \|[^*]*)?\*\*)", r"- [x] \1", text)
        if ticked != text:
            page.write_text(ticked, encoding="utf-8")


def _after(step: str, steps: list[object]) -> str:
    """Return the command after a step; "" if the file was edited and does not have it."""
    known = [each for each in steps if isinstance(each, dict)]
    places = [place for place, each in enumerate(known) if step in str(each.get("name", "")).split(" | ")]
    return str(known[places[0] + 1].get("command", "")) if places and places[0] + 1 < len(known) else ""

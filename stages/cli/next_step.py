"""What a command prints last on the way from data to an adapter: the command that follows, with the user's own paths.

`tritrace init` writes the way into its folder (`way.json`), command by command. A command that worked on a place inside
such a folder prints the one that follows it there; anywhere else it prints what it suggests by itself.
"""

import re
from contextlib import suppress
from pathlib import Path

import typer

from data.files import read_json_object

WAY = "way.json"
"""In the folder that `tritrace init` made: `steps`, each with `name` and `command`."""


def tell_next(step: str, place: Path, otherwise: str = "") -> None:
    """Print the command that follows a step, on the error stream, where it disturbs nobody who reads the output.

    Args:
        step: what was done, such as "data check".
        place: a file or folder that it was done to.
        otherwise: the command to print where no folder above has a way.
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
    """Tick a step off on the folder's page; one that was edited or deleted is nobody's loss."""
    with suppress(OSError, ValueError):
        text = page.read_text(encoding="utf-8")
        ticked = re.sub(rf"(?m)^- \[ \] (\*\*(?:[^*]*\| )?{re.escape(step)}(?: \|[^*]*)?\*\*)", r"- [x] \1", text)
        if ticked != text:
            page.write_text(ticked, encoding="utf-8")


def _after(step: str, steps: list[object]) -> str:
    """Return the command after a step; the file may have been edited, and then nothing is printed."""
    known = [each for each in steps if isinstance(each, dict)]
    places = [place for place, each in enumerate(known) if step in str(each.get("name", "")).split(" | ")]
    return str(known[places[0] + 1].get("command", "")) if places and places[0] + 1 < len(known) else ""

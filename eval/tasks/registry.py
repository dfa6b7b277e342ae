"""The tasks that come with the package, by name."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from data.files.text import read_text
from eval.tasks.task import Task, TaskError, parse_task
from protocol.nearest import nearest

_CATALOGUE = Path(str(files("eval").joinpath("tasks/catalogue")))


@cache
def built_in_tasks() -> dict[str, Task]:
    """Return every task of `catalogue/`, by name."""
    paths = sorted(_CATALOGUE.glob("*/*.yaml"), key=lambda path: path.name)
    tasks = [parse_task(path.read_text(encoding="utf-8"), str(path.relative_to(_CATALOGUE.parent))) for path in paths]
    return {task.name: task for task in tasks}


def find_task(name: str) -> Task:
    """Return the task with this name, or the task that a YAML file declares.

    Raises:
        TaskError: neither exists, or the file has mistakes.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            return parse_task(read_text(Path(name)), name)
        except OSError as error:
            raise TaskError(f"{name}: cannot be read: {error.strerror or error}") from None
    known = built_in_tasks()
    if name not in known:
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        raise TaskError(f"no task {name!r}; {hint}\nhint: for your own task, write a YAML file and give its path")
    return known[name]

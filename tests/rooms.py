"""Measures the structure of a package: its rooms, the arrows between them, and their floors.

    python -m tests.rooms [stages.cli ...]

prints a line for each package, and the arrows that run back up. Without names it takes every package whose order
import-linter checks. A room is a folder or a file directly in the package. An arrow goes from a room to a room that it
imports. Floors are layers of rooms, so that each room imports only from
lower floors. If rooms import each other in a circle, one arrow of the circle runs back up.
"""

import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import grimp

LAYERS = ("protocol", "toolkit", "data", "eval", "stages")


@dataclass(frozen=True, slots=True)
class House:
    """The rooms and arrows of a package."""

    rooms: dict[str, set[str]]
    """Room -> the rooms that it imports."""
    back_up: list[tuple[str, str]]
    """Arrows whose removal leaves no circle."""

    @property
    def num_arrows(self) -> int:
        """Number of arrows between different rooms."""
        return sum(map(len, self.rooms.values()))

    @property
    def num_floors(self) -> int:
        """Length of the longest way down, without the arrows that run back up."""
        below = {
            room: {each for each in found if (room, each) not in self.back_up} for room, found in self.rooms.items()
        }
        floors: dict[str, int] = {}
        for room in TopologicalSorter(below).static_order():
            floors[room] = 1 + max((floors[each] for each in below[room]), default=0)
        return max(floors.values(), default=0)


def house(package: str) -> House:
    """Read the imports of a package; imports for type checkers do not count."""
    graph = grimp.build_graph(*LAYERS, exclude_type_checking_imports=True)
    depth = package.count(".") + 1
    rooms: dict[str, set[str]] = {}
    for module in sorted(each for each in graph.modules if each.startswith(f"{package}.")):
        room = module.split(".")[depth]
        imported = {each for each in graph.find_modules_directly_imported_by(module) if each.startswith(f"{package}.")}
        rooms.setdefault(room, set()).update({each.split(".")[depth] for each in imported} - {room})
    return House(rooms, _back_up(rooms))


def _back_up(rooms: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return arrows whose removal leaves no circle, one for each found circle."""
    below = {room: set(found) for room, found in rooms.items()}
    removed = []
    while True:
        try:
            TopologicalSorter(below).prepare()
        except CycleError as error:
            imported, importing = error.args[1][:2]  # graphlib lists a circle from the imported to the importing room
            below[importing].discard(imported)
            removed.append((importing, imported))
        else:
            return removed


def main() -> None:
    """Print a line for each package."""
    for package in sys.argv[1:] or [*LAYERS, "data.pocket", "data.sources", "stages.cli", "stages.rollouts"]:
        found = house(package)
        back = "".join(f"\n  back up: {one} -> {other}" for one, other in found.back_up)
        print(  # noqa: T201 - what it is for
            f"{package}: {len(found.rooms)} rooms, {found.num_arrows} arrows, {found.num_floors} floors,"
            f" {len(found.back_up)} arrows back up{back}"
        )


if __name__ == "__main__":
    main()

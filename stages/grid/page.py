"""Writes `RESULTS.md`: a section for each split, and the list of all openings of the test split.

A section stands between two comments, and the next run of the same command replaces it. Entries are only added to the
list of openings. So a reader of a test number can see how often the test split was used before.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from data.files.json_lines import replacing
from protocol.errors import UserError

OPENINGS = "## Openings of the test split"
_INTRODUCTION = """# Results

Every table was written by the command above it, at the named commit. No choice was made on the test split. The list of
all its openings is at the end.
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """One evaluation on the test split."""

    date: str
    """Day, as YYYY-MM-DD."""
    commit: str
    processor: str
    command: str

    def line(self) -> str:
        """Return the opening as a line of the list."""
        return f"* {self.date}, commit {self.commit}, {self.processor}: `{self.command}`"


def write_section(path: Path, name: str, text: str, opening: Opening | None = None) -> None:
    """Replace a section of the page, or add it before the openings, and add an opening.

    Args:
        path: the page; created if it does not exist.
        name: name of the section.
        text: Markdown of the section.
        opening: the opening of the test split that the section is based on, if any.

    Raises:
        UserError: the page has only one of the section's two comments.
    """
    page = path.read_text(encoding="utf-8") if path.is_file() else _INTRODUCTION
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if (begin in page) != (end in page):
        raise UserError(f"{path}: one of the comments {begin} and {end} is missing; put it back, or take both out")
    section = f"{begin}\n{text.strip()}\n{end}"
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: section, page, flags=re.DOTALL)
    else:
        above, found, below = page.partition(OPENINGS)
        page = f"{above.rstrip()}\n\n{section}\n\n{found}{below}" if found else f"{page.rstrip()}\n\n{section}\n"
    if opening is not None:
        if OPENINGS not in page:
            page = f"{page.rstrip()}\n\n{OPENINGS}\n"
        page = f"{page.rstrip()}\n{'' if page.rstrip().splitlines()[-1].startswith('*') else chr(10)}{opening.line()}\n"
    with replacing(path) as file:
        file.write(page)

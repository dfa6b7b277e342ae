"""Prints a preflight on the terminal: for each section a table and its text."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stages.preflight.findings import Level, Section, problems, worst

_style: dict[Level, str] = {"ok": "green", "warning": "yellow", "fails": "red"}


def print_sections(sections: Sequence[Section], console: Console) -> None:
    """Print every section, and the verdict."""
    for section in sections:
        table = Table(title=section.title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
        for finding in section.findings:
            cells = (Text(finding.level, _style[finding.level]), Text(finding.what), Text(finding.found))
            table.add_row(*cells, Text(finding.advice, "italic"))
        console.print(table)
        if section.text:
            console.print(Text(section.text))
        console.print()
    level = worst([section.level for section in sections])
    num_fails, num_warnings = (len(problems(sections, each)) for each in ("fails", "warning"))
    verdict = {"ok": "the run can start", "warning": f"the run can start; warnings: {num_warnings}"}
    console.print(Text(f"preflight: {level}: {verdict.get(level, f'the run would fail; problems: {num_fails}')}"))


def summary(sections: Sequence[Section]) -> str:
    """Return one line with the states of all sections, and a line for each warning."""
    states = ", ".join(f"{section.title} {section.level}" for section in sections)
    return "\n".join([f"preflight: {states}", *(f"  warning: {line}" for line in problems(sections, "warning"))])

"""`tritrace validate` and `explain`: the language by itself, without a model."""

import json
from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from protocol import Verdict, codes, diagnose, explain
from protocol.diagnostics import show
from protocol.errors import UserError
from protocol.nearest import nearest
from stages.cli.records import Record, Unreadable, plan_option, read_records


class Format(StrEnum):
    """How `validate` prints."""

    TEXT = "text"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(validate)
    app.command("explain")(explain_code)


def validate(
    files: Annotated[list[str], typer.Argument(help=".jsonl, .json, .txt, or - for standard input")],
    plan: Annotated[str, typer.Option(help="plan for responses without one: a JSON file, or a name")] = "any",
    output: Annotated[Format, typer.Option("--format", help="text, or one JSON object a response")] = Format.TEXT,
) -> None:
    """Check responses against their plans. Exit 0: all valid; 1: some invalid; 2: some unreadable."""
    fallback, counts = plan_option(plan), Counter[str]()
    for source in files:
        for record in read_records(source):
            if isinstance(record, Unreadable):
                counts["unreadable"] += 1
                typer.echo(f"{record.source}:{record.line}: {record.reason}", err=True)
                continue
            verdict = diagnose(record.response, record.plan or fallback, record.labels)
            counts["valid" if verdict.is_valid else "invalid"] += 1
            counts.update({found.code for found in verdict.diagnostics})
            _print_verdict(record, verdict, output)
    typer.echo(_summary(counts), err=True)
    raise typer.Exit(2 if counts["unreadable"] else 1 if counts["invalid"] else 0)


def _print_verdict(record: Record, verdict: Verdict, output: Format) -> None:
    if output is Format.JSON:
        line = {
            "source": record.source,
            "line": record.line,
            "valid": verdict.is_valid,
            "calls": len(verdict.reading.calls),
            "diagnostics": [found.to_json() for found in verdict.diagnostics],
        }
        typer.echo(json.dumps(line, ensure_ascii=False))
    elif verdict.diagnostics:
        state = "valid, but" if verdict.is_valid else "invalid"
        typer.echo(f"{record.source}:{record.line}: {state}")
        for found in verdict.diagnostics:
            typer.echo("  " + show(found, record.response).replace("\n", "\n  "))


def _summary(counts: Counter[str]) -> str:
    num_responses = counts["valid"] + counts["invalid"]
    share = f" ({100 * counts['valid'] / num_responses:.1f} %)" if num_responses else ""
    found = ", ".join(f"{code} in {counts[code]}" for code in codes() if counts[code])
    unreadable = f", {counts['unreadable']} unreadable" if counts["unreadable"] else ""
    tail = f"; {found}" if found else ""
    return f"{num_responses} responses: {counts['valid']} valid{share}, {counts['invalid']} invalid{unreadable}{tail}"


def explain_code(code: Annotated[str, typer.Argument(help="such as G302")]) -> None:
    """Explain a diagnostic, with an example."""
    if code.upper() not in codes():
        hint = nearest(code.upper(), codes())
        raise UserError(f"there is no diagnostic {code!r}. {hint or 'Known are ' + ', '.join(codes())}")
    typer.echo(explain(code.upper()), nl=False)

"""Diagnostics as SARIF 2.1.0 (OASIS), which editors and code hosts show beside the file.

A log is written piece by piece, so that it may be of any size: `opening`, then results joined by `SEPARATOR`, then
`closing`. The physical location of a result is where its record stands in the file; the logical location is where in
the response the fault is. For a file that is one raw response both are the same place. A record that could not be read
is a result too, under a rule of its own, since code hosts do not show a tool's notifications.

Nothing here reads files or prints; the command line does.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from protocol.diagnostics import Code, Diagnostic, codes

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
SEPARATOR = ",\n"
UNREADABLE = "unreadable-record"
"""The rule of a record that could not be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file."""

    path: str
    """Relative to the working directory, or absolute; "-" for standard input."""
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1, in code points."""


def opening(version: str) -> str:
    """Return the beginning of a log with one run, up to its first result; `version` is that of the checker."""
    driver = {"name": "tritrace", "version": version, "rules": [*map(_rule, codes().values()), _UNREADABLE_RULE]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": []}
    log = _dump({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]})
    return log.removesuffix("]}]}") + "\n"


def closing(exit_code: int) -> str:
    """Return the end of a log. `exit_code` is the command's; above 1 it means that not everything was checked."""
    invocation = {"executionSuccessful": exit_code <= 1, "exitCode": exit_code}
    return f'\n],"invocations":{_dump([invocation])}}}]}}\n'


def result(diagnostic: Diagnostic, response: str, record: Place) -> str:
    """Return one diagnostic of a response as a result."""
    parts = [diagnostic.message]
    parts += [f"expected: {diagnostic.expected}"] if diagnostic.expected else []
    parts += [f"hint: {diagnostic.hint}"] if diagnostic.hint else []
    spot = f"{diagnostic.line}:{diagnostic.column}"
    location = _location(record) | {
        "logicalLocations": [
            {
                "name": "response",
                "fullyQualifiedName": f"response:{spot}",
                "kind": "value",
                "properties": {"line": diagnostic.line, "column": diagnostic.column},
            }
        ]
    }
    identity = f"{diagnostic.code} {spot} {response}".encode(errors="replace")
    return _dump(
        {
            "ruleId": diagnostic.code,
            "ruleIndex": _index_by_code()[diagnostic.code],
            "level": _level(is_fatal=diagnostic.is_fatal),
            "message": {"text": _without_links("\n".join(parts))},
            "locations": [location],
            # The same fault of the same response is the same result wherever the record has moved to.
            "partialFingerprints": {"responseFault/v1": hashlib.sha256(identity).hexdigest()[:32]},
        }
    )


def unreadable(reason: str, record: Place) -> str:
    """Return a record that could not be read as a result."""
    return _dump(
        {
            "ruleId": UNREADABLE,
            "ruleIndex": len(codes()),
            "level": "error",
            "message": {"text": _without_links(reason)},
            "locations": [_location(record)],
        }
    )


_UNREADABLE_RULE = {
    "id": UNREADABLE,
    "name": "UnreadableRecord",
    "shortDescription": {"text": "the record cannot be read, so its response was not checked"},
    "defaultConfiguration": {"level": "error"},
}


def _rule(code: Code) -> dict[str, Any]:
    explanation, example, family = code.explanation.strip(), code.example.strip(), code.family
    return {
        "id": code.code,
        "name": code.name.title().replace("-", ""),
        "shortDescription": {"text": code.summary},
        "fullDescription": {"text": explanation},
        "help": {
            "text": f"{explanation}\n\nExample:\n\n{example}",
            "markdown": f"{explanation}\n\n```\n{example}\n```",
        },
        "defaultConfiguration": {"level": _level(is_fatal=family.counts_against == "validity")},
        "properties": {"tags": sorted({family.name.lower(), family.counts_against})},
    }


@cache
def _index_by_code() -> dict[str, int]:
    return {code: index for index, code in enumerate(codes())}


def _level(*, is_fatal: bool) -> str:
    return "error" if is_fatal else "warning"


def _location(place: Place) -> dict[str, Any]:
    path = quote(os.fsencode(place.path))
    artifact = {"uri": f"file://{path}" if path.startswith("/") else path}
    region = {"startLine": place.line, "startColumn": place.column}
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}


def _without_links(text: str) -> str:
    """Return a message in which no text of a model can be taken for a link, `[text](target)` in SARIF."""
    return text.replace("](", "] (")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

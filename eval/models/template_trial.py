"""Checks that a chat template ends: renders it once in a separate process with limited time and memory.

A template is a program by the model's author. The sandbox of transformers protects the machine, but does not stop
endless loops or growth. This module does not import torch, so that the process starts quickly.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

CPU_SECONDS = 2
"""Limit in processor time, which does not depend on other work on the machine; a good template takes milliseconds."""
WALL_SECONDS = 60 if sys.platform == "win32" else 600
"""Limit in wall-clock time, the only limit on Windows."""
MEMORY_BYTES = 2**31
_TEXT = "What is in the picture?"
_PARTS = [{"type": "image"}, {"type": "text", "text": _TEXT}]


@cache
def template_problem(templates: tuple[str, ...]) -> str | None:
    """Return that chat templates do not end within the limits; None if they end, or fail at once."""
    code = "from eval.models.template_trial import render_in_bounds; render_in_bounds()"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter
            [sys.executable, "-P", "-c", code],
            input=json.dumps(templates).encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its chat template did not end within {WALL_SECONDS} s"
    if done.returncode == 0:
        return None
    return f"its chat template does not end within {CPU_SECONDS} s and {MEMORY_BYTES // 2**30} GiB"


def templates_of(*holders: Any) -> tuple[str, ...]:
    """Return all chat templates of processors and tokenizers."""
    found: list[str] = []
    for template in (holder.chat_template for holder in holders):
        found += template.values() if isinstance(template, dict) else [template] if template else []
    return tuple(dict.fromkeys(found))


def render_in_bounds() -> None:
    """Render the templates from standard input; errors of a template are ignored here and reported elsewhere."""
    import jinja2.ext
    import jinja2.sandbox  # noqa: F401 - loaded before the time counts

    with suppress(ImportError):  # not on Windows
        import resource

        bound = math.ceil(time.process_time()) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (bound, bound))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    templates = json.load(sys.stdin)
    for template in templates:
        for messages in _conversations():
            for starts_answer in (False, True):
                _render(template, messages, starts_answer=starts_answer)


def _conversations() -> Iterator[list[dict[str, Any]]]:
    for content in (_TEXT, _PARTS):
        asked = {"role": "user", "content": content}
        yield [asked]
        yield [{"role": "system", "content": "You help."}, asked, {"role": "assistant", "content": "A cup."}]


def _render(template: str, messages: list[dict[str, Any]], *, starts_answer: bool) -> None:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag that marks the assistant's words in templates; here it is only parsed."""

        tags = {"generation"}  # noqa: RUF012 - as jinja declares it

        def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
            """Return the content of the block."""
            next(parser.stream)
            return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )  # as in transformers
    environment.filters["tojson"] = json.dumps
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda _: "2026-01-01"}
    given = {"messages": messages, "add_generation_prompt": starts_answer, "tools": None, "documents": None}
    try:
        for _ in environment.from_string(template).generate(given):
            pass
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, S110 - a template raises what it likes, and is told of by whoever renders it next
        pass

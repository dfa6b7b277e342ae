"""Does a chat template end? It is rendered once in a process of its own, whose time and memory are bounded.

A template is a program of whoever made the model. The sandbox that transformers renders it in keeps it from the
machine, but not from looping or growing for ever. No torch here: the process starts in a moment.
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
"""Of the processor, so that other work on the machine does not matter; a template that ends takes milliseconds."""
WALL_SECONDS = 60 if sys.platform == "win32" else 600
"""By the clock, which alone bounds it on Windows."""
MEMORY_BYTES = 2**31
_TEXT = "What is in the picture?"
_PARTS = [{"type": "image"}, {"type": "text", "text": _TEXT}]


@cache
def template_problem(templates: tuple[str, ...]) -> str | None:
    """Return why chat templates cannot be used: they do not end within bounds. None where they do, or fail at once."""
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
    """Return every chat template of processors and tokenizers."""
    found: list[str] = []
    for template in (holder.chat_template for holder in holders):
        found += template.values() if isinstance(template, dict) else [template] if template else []
    return tuple(dict.fromkeys(found))


def render_in_bounds() -> None:
    """Render the templates that stand on standard input; what a template refuses is for others to tell."""
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
        """The tag by which templates mark what the assistant says; here it is only read."""

        tags = {"generation"}  # noqa: RUF012 - as jinja declares it

        def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
            """Return what stands in the block."""
            next(parser.stream)
            return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )  # as transformers has it
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

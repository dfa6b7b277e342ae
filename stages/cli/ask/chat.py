"""`tritrace chat`: asks a checkpoint or a server behind the guard.

Text of a model is printed without control characters, so that a terminal does not execute them.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from data.files.text import refuse_surrogates
from data.pictures.images import decode_picture, read_image
from data.prompts import rollout_prompt
from data.rows import Query
from eval.guard.answer import Guard, GuardedAnswer
from eval.guard.audit import AuditLog
from eval.policies.base import Policy
from protocol import Phase, Plan, Verdict, diagnose
from protocol.diagnostics import printable, show
from protocol.errors import UserError
from stages.arguments.judge import JudgeArguments, build_judge
from stages.cli.candidates import Candidate, checkpoint_of, server_of, style_of
from stages.cli.options import (
    AuditTexts,
    CheckpointOptions,
    Ground,
    NewTokens,
    Only,
    PromptStyle,
    ReleaseJudge,
    ServerOptions,
    from_options,
)

INVALID, WITHHELD = 1, 3
"""Exit codes for an invalid trace and for a withheld answer."""
_HELP = "one question per line; /image PATH or a pasted data: URI adds a picture to the next question; /quit ends"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(from_options(chat))


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """Options of `tritrace chat`."""

    text: Annotated[str | None, typer.Argument(help="the question; without it, questions are read line by line")] = None
    checkpoint: CheckpointOptions
    server: Annotated[ServerOptions, Only(("endpoint", "endpoint_model", "endpoint_server", "endpoint_timeout"))]
    image: Annotated[list[str] | None, typer.Option(help="a picture: path or data: URI; may be repeated")] = None
    picture_ground: Ground = None
    prompt_style: PromptStyle = None
    constrained: Annotated[bool, typer.Option(help="decode within the plan's grammar; also freely")] = False
    fail_closed: Annotated[bool, typer.Option(help="withhold an answer that fails a check; exit 3")] = False
    judge: ReleaseJudge = "none"
    judging: Annotated[JudgeArguments, Only(("judge_url", "judge_model", "judge_max_tokens"))]
    audit_log: Annotated[Path | None, typer.Option("--audit", help="append a record per question to this file")] = None
    audit_texts: AuditTexts = False
    max_new_tokens: NewTokens = None

    def candidate(self) -> Candidate:
        """Return the candidate, for one question at a time."""
        limit, ground = self.max_new_tokens, self.picture_ground
        if self.server.endpoint is not None:
            return server_of(self.server, max_new_tokens=limit, picture_ground=ground)
        return checkpoint_of(self.checkpoint, batch_size=1, max_new_tokens=limit, picture_ground=ground)


def chat(options: ChatOptions) -> None:
    """Ask a question and print plan, trace with its path, verdict and answer. Exit 1: invalid trace; 3: withheld.

    Without TEXT, questions are read line by line from the terminal or a pipe.
    """
    candidate = options.candidate()
    pictures = [_picture(source) for source in options.image or []]
    judged_by = build_judge(replace(options.judging, judge="rule" if options.judge == "none" else options.judge))
    policy = candidate.load()
    policy.constrained = options.constrained
    log = AuditLog(options.audit_log) if options.audit_log else None
    guard = Guard(
        policy,
        candidate.planner(),
        style=style_of(options.prompt_style) or candidate.style,
        judge=None if options.judge == "none" else judged_by,
        audit=log,
        has_texts=options.audit_texts,
        is_enforced=options.fail_closed,
    )
    try:
        with judged_by:
            session = _Session(guard, policy, is_closed=options.fail_closed)
            code = session.converse(pictures) if options.text is None else session.ask(options.text, pictures)
    finally:
        if log is not None:
            chain = log.chain()
            # If the user keeps the hash elsewhere, it shows whether the end of the log was cut off later.
            typer.echo(f"audit: {log.path}: {chain.count} records, head {chain.head}", err=True)
    raise typer.Exit(code)


@dataclass
class _Session:
    """Asks one policy questions; each question is independent."""

    guard: Guard
    policy: Policy
    is_closed: bool
    console: Console = field(default_factory=lambda: Console(highlight=False))

    def ask(self, text: str, pictures: list[str]) -> int:
        """Ask a question, show the result, and return the exit code."""
        refuse_surrogates(text, "the question")
        answered = self.guard.answer(text, pictures)
        if self.is_closed and not answered.is_released:
            self._show_withheld(answered)
            return WITHHELD
        if answered.error is not None:
            raise answered.error
        if answered.plan is None or answered.verdict is None or answered.generation is None:
            raise UserError(f"no response: {answered.generation.failure if answered.generation else 'nothing came'}")
        self._show(answered.plan, answered.verdict, is_truncated=answered.generation.is_truncated)
        for reason in answered.withheld:
            self.console.print(f"a guard would withhold it: {reason.name}: {reason.detail}", markup=False)
        if self.policy.constrained and not self.is_closed:
            self._say_unconstrained(text, pictures, answered.plan)
        return 0 if answered.verdict.is_valid else INVALID

    def converse(self, pictures: list[str]) -> int:
        """Answer line by line until the end of the input; a failed question does not end the session."""
        waiting = list(pictures)
        for line in _lines(self.console):
            command, _, rest = line.partition(" ")
            if line.startswith("data:") or command == "/image":
                self._take_picture(line if line.startswith("data:") else rest.strip(), waiting)
            elif command in {"/quit", "/exit"}:
                break
            elif command.startswith("/"):
                self.console.print(_HELP, markup=False)
            else:
                try:
                    self.ask(line, waiting)
                except UserError as error:
                    self.console.print(f"error: {_plain(str(error))}", markup=False)
                waiting = []
        return 0

    def _take_picture(self, source: str, waiting: list[str]) -> None:
        try:
            waiting.append(_picture(source))
        except UserError as error:
            self.console.print(f"error: {_plain(str(error))}", markup=False)
            return
        self.console.print(f"{len(waiting)} picture{'s' * (len(waiting) > 1)} for the next question", style="dim")

    def _show(self, plan: Plan, verdict: Verdict, *, is_truncated: bool) -> None:
        console = self.console
        trace = "\n".join(call.render() for call in verdict.response.trace.calls) or "(no trace)"
        console.print(_headline(plan), style="dim", markup=False)
        console.print(Panel(Text(_plain(trace)), title="trace", title_align="left"))
        console.print(f"path: {_plain(path_of(verdict))}", markup=False)
        state = "valid" if verdict.is_valid else "invalid"
        consistency = "coherent" if verdict.is_coherent else "incoherent"
        console.print(f"verdict: {state}, {consistency}", markup=False)
        for found in verdict.diagnostics:
            console.print(show(found, verdict.reading.text), markup=False)
        if is_truncated:
            console.print("the response was cut off; raise --max-new-tokens", markup=False)
        answer = verdict.reading.visible_answer or "(no answer)"
        console.print(Panel(Text(_plain(answer)), title="answer", title_align="left"))

    def _show_withheld(self, answered: GuardedAnswer) -> None:
        """Show the safe message and the reasons, but no text of the model."""
        if answered.plan is not None:
            self.console.print(_headline(answered.plan), style="dim", markup=False)
        for reason in answered.withheld:
            self.console.print(f"withheld: {reason.name}: {reason.detail}", markup=False)
        if isinstance(answered.error, UserError):
            Console(stderr=True, highlight=False, markup=False).print(_plain(str(answered.error)))
        self.console.print(Panel(Text(answered.text), title="answer", title_align="left"))

    def _say_unconstrained(self, text: str, pictures: list[str], plan: Plan) -> None:
        uris = tuple(pictures)
        prompt = rollout_prompt(Query("chat", text, "chat", "chat", images=uris), self.guard.style, lambda *_: plan)
        self.policy.constrained = False
        try:
            free = diagnose(self.policy.respond([prompt], Path(Path.cwd().anchor))[0].text, plan)
        finally:
            self.policy.constrained = True
        found = ", ".join(dict.fromkeys(each.code for each in free.diagnostics))
        typer.echo(f"decoded freely: {'valid' if free.is_valid else 'invalid'}{f' ({found})' if found else ''}")


def path_of(verdict: Verdict) -> str:
    """Return the path of a trace in its plan's graph; `-x->` is a step that the graph does not allow."""
    graph, calls = verdict.plan.graph, [call.tool for call in verdict.response.trace.calls]
    if not calls:
        return "(none)"
    steps = [calls[0] if calls[0] in graph.start else f"x-> {calls[0]}"]
    known = verdict.plan.by_name
    for before, after in pairwise(calls):
        is_edge = before in known and after in graph.successors(before)
        steps.append(f"{'->' if is_edge else '-x->'} {after}")
    steps.append(f"{'->' if calls[-1] in graph.accept else '-x->'} answer")
    return " ".join(steps)


def _headline(plan: Plan) -> str:
    tools = "; ".join(
        f"{phase} {', '.join(tool.name for tool in plan.tools if tool.phase is phase)}" for phase in Phase
    )
    return f"plan: {plan.persona.name}, {plan.graph.topology} ({_plain(plan.reason)}); {tools}"


def _picture(source: str) -> str:
    """Return a `data:` URI unchanged, and a path as an absolute path.

    Raises:
        ImageError: it cannot be read.
    """
    if source.startswith("data:"):
        decode_picture(read_image(source, Path()), source)
        return source
    path = Path(source).expanduser().resolve()
    decode_picture(read_image(path.name, path.parent), source)
    return str(path)


def _lines(console: Console) -> Iterator[str]:
    """Yield the lines of the input, without blank ones."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        import readline  # noqa: F401 - a terminal alone cuts a pasted line after 4,096 characters

        console.print(_HELP, style="dim", markup=False)
    while True:
        try:
            line = input("> ") if is_terminal else input()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError(f"standard input is not UTF-8: byte 0x{error.object[error.start]:02x}") from None
        if line.strip():
            yield line.strip()


def _plain(text: str) -> str:
    """Return text without control characters and direction marks, which a terminal would execute."""
    return "\n".join(printable(line) for line in text.split("\n"))

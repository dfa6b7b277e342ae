"""`tritrace serve`: an OpenAI-compatible server that answers with a checkpoint, or another server, behind the guard."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from eval.guard.answer import Guard, GuardedAnswer
from eval.guard.audit import AuditLog
from protocol.errors import UserError
from stages.arguments.judge import JudgeArguments, build_judge
from stages.cli.candidates import Candidate, checkpoint_of, server_of, style_of
from stages.cli.options import (
    AuditTexts,
    CheckpointOptions,
    NewTokens,
    Only,
    PromptStyle,
    ReleaseJudge,
    ServerOptions,
    from_options,
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(from_options(serve))


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of `tritrace serve`."""

    checkpoint: Annotated[
        Path | None, typer.Argument(help="a stage's folder, such as runs/pocket/seed-0/grpo, or a merged export")
    ] = None
    server: Annotated[ServerOptions, Only(("endpoint", "endpoint_model"))]
    host: Annotated[str, typer.Option(help="address to listen at; any other one requires a key")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free port")] = 8080
    name: Annotated[str, typer.Option(help="name of the model for callers")] = "tritrace"
    queue: Annotated[int, typer.Option(min=0, help="maximum waiting questions; further ones are rejected")] = 64
    audit: Annotated[Path | None, typer.Option(help="the audit log  [default: audit.jsonl beside the stage]")] = None
    audit_texts: AuditTexts = False
    judge: ReleaseJudge = "none"
    judging: Annotated[JudgeArguments, Only(("judge_url", "judge_model"))]
    prompt_style: PromptStyle = None
    max_new_tokens: NewTokens = None


def serve(options: ServeOptions) -> None:
    """Serve a model behind the guard: /v1/chat/completions, /v1/models, /health.

    The answer, or the safe message, is in `content`; trace, verdict and reasons are in `tritrace`. Every answer is in
    the audit log before it is sent. After Ctrl-C or SIGTERM, accepted questions are still answered. If
    TRITRACE_SERVE_KEY is set, callers must send it as API key.
    """
    _require_extra()
    from stages.serving.run import serve as run
    from stages.serving.wire import Question

    candidate = _candidate(options)
    checkpoint, name = options.checkpoint, options.name
    style = style_of(options.prompt_style) or candidate.style
    log = AuditLog(options.audit or (checkpoint.parent if checkpoint else Path()) / "audit.jsonl")
    policy = candidate.load()
    if hasattr(policy, "label"):
        policy.label = ""  # no progress for each question
    with build_judge(replace(options.judging, judge="rule" if options.judge == "none" else options.judge)) as judged_by:
        guard = Guard(
            policy,
            candidate.planner(),
            style=style,
            judge=None if options.judge == "none" else judged_by,
            audit=log,
            has_texts=options.audit_texts,
        )

        def answer(question: Question) -> GuardedAnswer:
            return guard.answer(question.text, question.images)

        ready = partial(_tell, name=name, log=log)
        run(answer, name, host=options.host, port=options.port, capacity=options.queue, ready=ready)
    chain = log.chain()
    typer.echo(f"audit: {log.path}: {chain.count} records, head {chain.head}", err=True)


def _candidate(options: ServeOptions) -> Candidate:
    """Return the candidate to serve.

    Raises:
        UserError: not exactly one of checkpoint and endpoint is given, or it cannot be used.
    """
    checkpoint, server = options.checkpoint, options.server
    if (checkpoint is None) == (server.endpoint is None):
        raise UserError("give either a stage's folder or --endpoint URL with --endpoint-model NAME")
    if server.endpoint is not None:
        return server_of(server, max_new_tokens=options.max_new_tokens)
    from stages.provenance.export_mark import exported_files

    assert checkpoint is not None  # noqa: S101 - by the check above
    is_merged = exported_files(checkpoint) is not None and (checkpoint / "config.json").is_file()
    chosen = CheckpointOptions(model=str(checkpoint)) if is_merged else CheckpointOptions(adapter=checkpoint)
    return checkpoint_of(chosen, batch_size=1, max_new_tokens=options.max_new_tokens)


def _tell(url: str, name: str, log: AuditLog) -> None:
    typer.echo(f"serving {name} at {url}; audit log: {log.path}", err=True)
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "How do I clean the kettle?"}}]}}'
    typer.echo(f"try: curl {url}/chat/completions -H 'Content-Type: application/json' -d '{body}'", err=True)


def _require_extra() -> None:
    try:
        import fastapi
        import uvicorn
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs the extra 'serve' ({error.name}): pip install '.[serve]'") from None
    del fastapi, uvicorn

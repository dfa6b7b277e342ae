"""`tritrace serve`: a checkpoint, or another server's model, behind the guard as an OpenAI-compatible server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from eval.guard.answer import Guard, GuardedAnswer
from eval.guard.audit import AuditLog
from protocol.errors import UserError
from stages.arguments.judge import JudgeArguments, build_judge
from stages.cli.candidates import Candidate, checkpoint_of, server_of, style_of


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="a stage's folder, such as runs/pocket/seed-0/grpo, or a merged export")
    ] = None,
    *,
    endpoint: Annotated[str | None, typer.Option(help="guard another server instead, such as vLLM's URL")] = None,
    endpoint_model: Annotated[str | None, typer.Option(help="that server's name of the model")] = None,
    host: Annotated[str, typer.Option(help="address to listen at; others are let in by a key only")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8080,
    name: Annotated[str, typer.Option(help="of the model, as callers name it")] = "tritrace",
    queue: Annotated[int, typer.Option(min=0, help="questions that may wait; who comes later is told to wait")] = 64,
    audit: Annotated[Path | None, typer.Option(help="the audit log  [default: audit.jsonl beside the stage]")] = None,
    audit_texts: Annotated[bool, typer.Option(help="record the words too, not only their hashes")] = False,
    judge: Annotated[Literal["none", "llm", "guard"], typer.Option(help="who judges safety before release")] = "none",
    judge_url: Annotated[str | None, typer.Option(help="of the judge's endpoint; key: OPENAI_API_KEY")] = None,
    judge_model: Annotated[str | None, typer.Option(help="the judge's model, or the guard model's folder")] = None,
    prompt_style: Annotated[str | None, typer.Option(help="full or compact  [default: as trained]")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="limit of a response  [default: as trained]")
    ] = None,
) -> None:
    """Serve a model behind the guard: /v1/chat/completions, /v1/models, /health.

    The answer, or the safe message, is in `content`; trace, verdict and reasons stand beside it under `tritrace`. Every
    answer is in the audit log before it is sent. Ctrl-C and SIGTERM finish what was accepted. TRITRACE_SERVE_KEY, where
    it is set, is the API key that callers have to send.
    """
    _require_extra()
    from stages.serving.run import serve as run
    from stages.serving.wire import Question

    candidate = _candidate(checkpoint, endpoint, endpoint_model, max_new_tokens)
    style = style_of(prompt_style) or candidate.style
    log = AuditLog(audit or (checkpoint.parent if checkpoint else Path()) / "audit.jsonl")
    judging = JudgeArguments(judge="rule" if judge == "none" else judge, judge_url=judge_url, judge_model=judge_model)
    policy = candidate.load()
    if hasattr(policy, "label"):
        policy.label = ""  # no progress for each question
    with build_judge(judging) as judged_by:
        guard = Guard(
            policy,
            candidate.planner(),
            style=style,
            judge=None if judge == "none" else judged_by,
            audit=log,
            has_texts=audit_texts,
        )

        def answer(question: Question) -> GuardedAnswer:
            return guard.answer(question.text, question.images)

        run(answer, name, host=host, port=port, capacity=queue, ready=lambda url: _tell(url, name, log))
    chain = log.chain()
    typer.echo(f"audit: {log.path}: {chain.count} records, head {chain.head}", err=True)


def _candidate(
    checkpoint: Path | None, endpoint: str | None, endpoint_model: str | None, max_new_tokens: int | None
) -> Candidate:
    """Return what is served.

    Raises:
        UserError: not exactly one of a checkpoint and an endpoint is given, or it cannot be used.
    """
    if (checkpoint is None) == (endpoint is None):
        raise UserError("give either a stage's folder or --endpoint URL with --endpoint-model NAME")
    if endpoint is not None:
        return server_of(endpoint, endpoint_model, "auto", 1, 120.0, max_new_tokens)
    from stages.provenance.export_mark import exported_files

    assert checkpoint is not None  # noqa: S101 - by the check above
    is_merged = exported_files(checkpoint) is not None and (checkpoint / "config.json").is_file()
    model, adapter = (str(checkpoint), None) if is_merged else (None, checkpoint)
    return checkpoint_of(model, adapter, None, 1, max_new_tokens, {})


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

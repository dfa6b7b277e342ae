"""The work of `tritrace preflight`: reads the inputs of a stage and runs the checks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from eval.models.loading import load_config
from eval.models.processors import load_processor
from eval.models.revision import model_revision
from protocol.errors import UserError
from stages.arguments.stage import StageArguments, TRLConfig
from stages.errors import StageError
from stages.inputs.columns import read_training_rows
from stages.inputs.loading import load_options
from stages.memory.estimate import GIB, estimate, resident_bytes
from stages.memory.shapes import model_shape, shape_config
from stages.memory.step import optimiser_of
from stages.memory.tracing import traced_peaks
from stages.memory.vision import vision_shape
from stages.preflight.check import RowSize, StageSubject, check, longest_row, resources, step_of
from stages.preflight.findings import Finding, Section, worst
from stages.provenance.trust import check_parent
from stages.rehearsal.measure import measure
from stages.rehearsal.stand_in import has_stand_in, stand_in_processor, write_random_model
from stages.rollouts.reward import reward_of
from stages.spec import SPECS

T = TypeVar("T")
TOLERANCE = 0.1
"""Accepted relative error of a part's estimate; differences below a MiB are ignored."""
MIB = 2**20


def prepare(stage: str, arguments: StageArguments, config: TRLConfig, shape: str | None) -> StageSubject:
    """Read rows, processor and configuration of a stage.

    Args:
        stage: sft, dpo or grpo.
        arguments: our options; with `shape`, a missing parent is ignored.
        config: TRL's options.
        shape: name of a shape in the repository, used instead of the model.

    Raises:
        StageError: some inputs cannot be used; lists all of them.
    """
    mistakes: list[str] = []

    def attempt(action: Callable[[], T]) -> T | None:
        try:
            return action()
        except UserError as error:
            mistakes.extend(getattr(error, "problems", (str(error),)))
            return None

    options = load_options(arguments, trust_remote_code=config.trust_remote_code)
    has_rows = shape is None or Path(arguments.data).exists()
    ground = arguments.picture_ground
    rows = (
        attempt(lambda: read_training_rows(Path(arguments.data), SPECS[stage].row_type, arguments.max_rows, ground))
        or []
    )
    if not has_rows:
        mistakes.clear()
    model_config = attempt(lambda: shape_config(shape) if shape else load_config(arguments.model, options))
    rows = rows if shape is None or has_stand_in(model_config) else []
    if not (rows or mistakes or arguments.max_tokens):
        mistakes.append(f"{arguments.data}: is not read; max_tokens would state the length of its rows")
    processor = None if shape else attempt(lambda: load_processor(arguments.model, options))
    reward = attempt(lambda: reward_of(arguments))
    if shape is not None:
        arguments = replace(arguments, parent=None)
    elif arguments.parent is not None:
        folder, is_allowed = Path(arguments.parent), arguments.allow_broken
        revision = attempt(lambda: model_revision(arguments.model, arguments.revision)) or ""
        if revision:
            attempt(lambda: check_parent(folder, model_revision=revision, child=stage, allow_broken=is_allowed))
    if mistakes:
        raise StageError(mistakes)
    if shape is not None and rows:
        processor = stand_in_processor(rows, model_config, arguments)
    return StageSubject(
        stage=stage,
        arguments=arguments,
        config=config,
        rows=rows,
        processor=processor,
        model_config=model_config,
        reward=reward,
        stand_in=shape is not None,
    )


def run_checks(subject: StageSubject, measure_in: Path | None, *, trace: bool = False) -> list[Section]:
    """Check a stage; measure it if a folder is given, and trace its real graph if `trace` is set.

    Raises:
        StageError: it cannot be measured, because there are no rows.
    """
    if not subject.rows:
        if measure_in is not None:
            raise StageError(f"--measure: needs rows that can be read; see {subject.arguments.data}")
        return _without_rows(subject) + ([_traced(subject, recipe_size(subject))] if trace else [])
    sections = check(subject)
    if trace and worst([section.level for section in sections if section.title == "rows"]) != "fails":
        sections.append(_traced(subject, longest_row(subject)[1]))
    if measure_in is not None and worst([section.level for section in sections]) != "fails":
        sections.append(_measured(subject, measure_in))
    return sections


def _without_rows(subject: StageSubject) -> list[Section]:
    """Check memory and disk without rows, for the longest row that the recipe allows."""
    arguments = subject.arguments
    is_there = Path(arguments.data).exists()
    why = "needs the model's own processor" if is_there else "is not there"
    found = f"{arguments.data} {why}; the longest row that the recipe allows is taken"
    return [Section("rows", (Finding("warning", "read", found),)), *resources(subject, recipe_size(subject))]


def recipe_size(subject: StageSubject) -> RowSize:
    """Return the largest row that a recipe allows: `max_tokens` tokens, with a picture of `max_pixels`."""
    vision = vision_shape(subject.model_config)
    images = vision.tokens_of(subject.arguments.max_pixels or 0) if vision else 0
    tokens = int(subject.arguments.max_tokens or 0)
    return RowSize(tokens, int(getattr(subject.config, "max_completion_length", None) or tokens - images), images)


def _traced(subject: StageSubject, size: RowSize) -> Section:
    """Compare the estimate with the peak of the real graph, phase by phase."""
    shape, step = model_shape(subject.model_config, subject.arguments), step_of(subject, size)
    memory = estimate(shape, step)
    peaks = traced_peaks(subject.model_config, subject.arguments, shape, step)
    found = []
    for phase, peak in peaks.items():
        parts = getattr(memory, phase)
        found.append(_compared(phase, sum(parts.values()) - parts["context"], peak))
    return Section("real graph", tuple(found))


def _measured(subject: StageSubject, folder: Path) -> Section:
    arguments = subject.arguments
    longest, _ = longest_row(subject)
    if subject.stand_in:
        write_random_model(subject.model_config, subject.processor, arguments, folder / "model")
        arguments = replace(arguments, model=str(folder / "model"))
    measured = measure(subject.stage, arguments, subject.config, longest, folder / "stage")
    what = "allocated on the GPU" if measured.reserved is not None else "of resident memory"
    found = f"{measured.peak / GIB:.2f} GiB {what}"
    if measured.reserved is not None:
        found += f", {measured.reserved / GIB:.2f} reserved"
    peak = Finding("ok", "two steps of the longest row", found)
    shape = model_shape(subject.model_config, subject.arguments)
    estimated = resident_bytes(shape, subject.stage, optimiser_of(subject.config))
    seconds, tokens = measured.seconds, measured.tokens
    speed = Finding("ok", "their time", f"{seconds:,.1f} s, {tokens:,} tokens ({tokens / seconds:,.1f} a second)")
    parts = (_compared(part, size, measured.parts[part]) for part, size in estimated.items())
    return Section("measured", (peak, speed, *parts))


def _compared(part: str, estimated: int, measured: int) -> Finding:
    """Compare a part's estimate with its tensors."""
    found = f"{measured / MIB:,.1f} MiB, {estimated / MIB:,.1f} estimated"
    if measured:
        found += f" ({estimated / measured - 1:+.1%})"
    if abs(estimated - measured) > max(TOLERANCE * measured, MIB):
        return Finding("warning", part, found, "the estimate is wrong: use the measured value")
    return Finding("ok", part, found)

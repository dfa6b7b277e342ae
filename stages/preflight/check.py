"""Runs all checks of a stage, without its weights: for the command line, and before every stage."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState

from data.rows import RolloutPrompt, TrainingRow
from eval.models.generation_settings import added_settings, in_words
from eval.models.loading import load_config
from eval.models.processors import end_tokens, load_processor, tokenizer_of
from stages.arguments.stage import GRPOArguments, StageArguments, TRLConfig
from stages.errors import StageError
from stages.inputs.columns import escape_rows
from stages.inputs.lengths import image_tokens, model_limit, prompt_lengths, row_lengths
from stages.inputs.loading import has_vision, load_options
from stages.memory.card import available
from stages.memory.estimate import GIB, MemoryEstimate, estimate, optimiser_bytes
from stages.memory.shapes import ModelShape, model_shape
from stages.memory.step import Step, worst_step
from stages.preflight.ending import ending_finding
from stages.preflight.family import family_section
from stages.preflight.findings import Finding, Section, problems
from stages.preflight.machine.arithmetic import arithmetic_sections
from stages.preflight.machine.disk import disk_section
from stages.preflight.machine.toolchain import toolchain_sections
from stages.preflight.mask import mask_section
from stages.preflight.reward import reward_section
from stages.preflight.row_faults import RowReader, row_findings
from stages.preflight.rows import pictures_findings, rows_section
from stages.preflight.show import summary
from stages.preflight.tokens import tokens_section
from stages.preflight.trainer import trainer_findings
from stages.progress import say
from stages.rollouts.reward import RewardFunction

COMFORT = 0.9
"""An estimate above this share of the memory is too close, because it does not include waste by allocators."""


class RowSize(NamedTuple):
    """The size of the worst row of a stage, in tokens."""

    tokens: int
    """Tokens of prompt, pictures and longest completion; in GRPO, with the longest completion that may be sampled."""
    learnt: int
    """Tokens of that completion."""
    images: int
    """Image tokens of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSubject:
    """The stage to check."""

    stage: str
    arguments: StageArguments
    config: TRLConfig
    rows: Sequence[TrainingRow]
    processor: Any
    model_config: Any
    reward: RewardFunction | None = None
    """The reward of GRPO."""
    stand_in: bool = False
    """Whether the processor is a stand-in, because only the model's shape is available."""

    @property
    def on_gpu(self) -> bool:
        """Whether the stage is for a GPU: there is one here, or the recipe names a card."""
        return torch.cuda.is_available() or self.arguments.card_gib is not None

    @property
    def num_sampled(self) -> int:
        """Maximum tokens that GRPO samples after a prompt; 0 in other stages."""
        return int(self.config.max_completion_length) if isinstance(self.rows[0], RolloutPrompt) else 0

    @property
    def limit(self) -> int:
        """Maximum tokens of a row; in GRPO, of a prompt."""
        longest = min(model_limit(self.model_config), self.arguments.max_tokens or sys.maxsize)
        return longest - self.num_sampled


def check_before_training(
    stage: str,
    arguments: StageArguments,
    config: TRLConfig,
    rows: Sequence[TrainingRow],
    reward: RewardFunction | None = None,
) -> None:
    """Check a stage, and print a summary of the findings.

    Raises:
        ModelError: the model does not exist, or is not supported.
        StageError: the run would fail; lists every reason.
    """
    options = load_options(arguments, trust_remote_code=config.trust_remote_code)
    subject = StageSubject(
        stage=stage,
        arguments=arguments,
        config=config,
        rows=rows,
        processor=load_processor(arguments.model, options),
        model_config=load_config(arguments.model, options),
        reward=reward,
    )
    sections = check(subject)
    if PartialState().is_main_process:
        say(summary(sections))
    if failed := problems(sections):
        raise StageError([f"{stage}: {problem}" for problem in failed])


def check(subject: StageSubject) -> list[Section]:
    """Return the findings for a stage whose rows and images were read successfully."""
    rows, arguments = subject.rows, subject.arguments
    path = Path(arguments.data)
    sees = has_vision(subject.processor)
    sections = [rows_section(rows, path, has_vision=sees, config=subject.config)]
    if sections[0].level == "fails" and not sees:
        return sections
    sections.append(family_section(subject.model_config, subject.processor))
    if arguments.special_tokens == "escape":
        rows = escape_rows(rows, subject.processor)
    reader = RowReader(subject.processor, path.parent, arguments.picture_ground)
    told, sound = row_findings(reader, rows)
    refused = trainer_findings(subject.config, subject.processor, has_images=any(row.images for row in rows))
    shown = [] if not sees else pictures_findings(rows, path.parent, arguments.picture_ground)
    sections[0] = replace(sections[0], findings=(*sections[0].findings, *shown, *told, *refused))
    if not sound:
        return sections
    rows = sound
    subject = replace(subject, rows=rows)
    lengths = row_lengths(rows, subject.processor, path.parent)
    is_cut = getattr(subject.config, "max_length", None) is not None
    prompts = prompt_lengths(rows, subject.processor, path.parent) if is_cut else {}
    sections.append(
        tokens_section(lengths, prompts, subject.config, limit=subject.limit, stand_in=subject.stand_in),
    )
    mask = mask_section(rows[0], subject.processor)
    if not subject.stand_in:
        ends = end_tokens(arguments.model, tokenizer_of(subject.processor), subject.model_config)
        ending = ending_finding(rows[0].prompt, len(rows[0].images), subject.processor, ends)
        mask = replace(mask, findings=(*mask.findings, ending, *_generation(arguments.model)))
    sections.append(mask)
    if subject.reward is not None and isinstance(arguments, GRPOArguments):
        prompts_only = [row for row in rows if isinstance(row, RolloutPrompt)]
        sections.append(reward_section(prompts_only, arguments.reward, subject.reward))
    if torch.cuda.is_available() or not subject.on_gpu:
        sections += arithmetic_sections(arguments.dtype, scales_loss=subject.config.fp16)
    sections += toolchain_sections()
    _, size = longest_row(subject, lengths)
    return sections + resources(subject, size)


def _generation(model: str) -> list[Finding]:
    added = added_settings(model)
    found = f"the base's generation_config.json sets {in_words(added)}: switched off in training and evaluation"
    return [Finding("ok", "sampling", found)] if added else []


def longest_row(subject: StageSubject, lengths: Mapping[str, int] | None = None) -> tuple[TrainingRow, RowSize]:
    """Return the longest row, and the sizes of the worst row.

    Args:
        subject: the stage.
        lengths: id of a row -> its tokens, if they were counted already.
    """
    folder = Path(subject.arguments.data).parent
    if lengths is None:
        lengths = row_lengths(subject.rows, subject.processor, folder)
    longest = max(subject.rows, key=lambda row: lengths[row.id])
    length, sampled = lengths[longest.id], subject.num_sampled
    learnt = sampled or length - prompt_lengths([longest], subject.processor, folder)[longest.id]
    images = max(image_tokens(subject.rows, subject.processor, folder).values())
    return longest, RowSize(length + sampled, learnt, images)


def step_of(subject: StageSubject, size: RowSize) -> Step:
    """Return the worst step: all its rows have the size of the worst row."""
    return worst_step(
        subject.stage,
        subject.config,
        tokens=size.tokens,
        learnt=size.learnt,
        image_tokens=size.images,
        eager=subject.arguments.attn_implementation == "eager",
        on_gpu=subject.on_gpu,
    )


def resources(subject: StageSubject, size: RowSize) -> list[Section]:
    """Return the findings on disk and memory for a worst row of this size."""
    shape, step = model_shape(subject.model_config, subject.arguments), step_of(subject, size)
    memory = estimate(shape, step)
    disk = disk_section(
        Path(subject.arguments.output), 4 * shape.num_trainable, optimiser_bytes(shape, "adamw"), subject.config
    )
    return [disk, memory_section(memory, shape, step, subject.arguments.card_gib)]


def memory_section(memory: MemoryEstimate, shape: ModelShape, step: Step, card_gib: float | None) -> Section:
    """Compare an estimate with the memory of the card, or of this machine if there is no card."""
    room = available(card_gib)
    found = f"{_gib(memory.peak)} GiB estimated, {room.name} has {_gib(room.size)}"
    advice = "see `tritrace fit`; lower per_device_train_batch_size, max_pixels or max_tokens, or set load_in_4bit"
    if memory.peak > room.size:
        peak = Finding("fails", "peak", found, advice)
    elif memory.peak > COMFORT * room.size:
        peak = Finding("warning", "peak", found, f"that is close; {advice}")
    else:
        peak = Finding("ok", "peak", found)
    worst = f"{step.sequences} sequences of {step.tokens} tokens ({step.image_tokens} of images)"
    base = f"{shape.num_parameters / 1e6:,.1f} M parameters, {shape.num_trainable / 1e6:,.2f} M trained"
    findings = (peak, Finding("ok", "model", base), Finding("ok", "worst step", worst))
    return Section("memory", findings, _parts(memory))


def _parts(memory: MemoryEstimate) -> str:
    names = dict.fromkeys([*memory.training, *memory.sampling, "together"])
    phases = {"training": memory.training} | ({"sampling": memory.sampling} if memory.sampling else {})
    lines = [f"  {'GiB':<18}" + "".join(f"{phase:>10}" for phase in phases)]
    for part in names:
        cells = [sum(phase.values()) if part == "together" else phase.get(part, 0) for phase in phases.values()]
        lines.append(f"  {part:<18}" + "".join(f"{_gib(cell):>10}" for cell in cells))
    return "\n".join(lines)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"

"""The lifecycle of a stage, the same for all three: skip it if it is finished, resume it, or train it.

`training.py` runs the training; the stages' own modules (`sft.py`, `dpo.py`, `grpo.py`) build the trainers.
"""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from accelerate import PartialState

from data.files.locks import held
from eval.models.loading import quiet_libraries
from eval.models.revision import model_revision
from stages.arguments.resolved import describe, resolved
from stages.arguments.stage import StageArguments, TRLConfig
from stages.errors import StageError
from stages.inputs.columns import fingerprint_rows, read_training_rows
from stages.lifecycle.device import check_device
from stages.lifecycle.endings import endings
from stages.lifecycle.resuming import sound_checkpoint, step_of
from stages.lifecycle.schedule import fit_warmup
from stages.lifecycle.set_aside import go_on_from, move_aside, not_exact
from stages.lifecycle.training import BuildTrainer, Job, train
from stages.progress import say
from stages.provenance.elsewhere import STAGE as ELSEWHERE
from stages.provenance.manifest import Manifest, read_manifest
from stages.provenance.trust import check_model, check_parent
from stages.rollouts.guarded_reward import GuardedReward
from stages.spec import SPECS
from stages.tracking.run import tracked


def run_stage(
    stage: str,
    arguments: StageArguments,
    config: TRLConfig,
    build_trainer: BuildTrainer,
    reward: GuardedReward | None = None,
) -> Path:
    """Finish a stage from its current state.

    Args:
        stage: sft, dpo or grpo.
        arguments: our options.
        config: TRL's options.
        build_trainer: returns the stage's trainer.
        reward: the reward of GRPO.

    Returns:
        The stage's folder, with `adapter/` and `manifest.json`.

    Raises:
        StageError: the recipe, its files or the parent stage cannot be used.
        RowsError: the data file cannot be read.
        ModelError: the base model cannot be loaded.
        LockedError: another process trains the same stage.
        SystemExit: with code 130 after an interruption, and 75 if the disk is full; the same command continues the
            stage.
    """
    # If several processes train together, only the first one writes.
    with held(Path(arguments.output)) if PartialState().is_main_process else nullcontext():
        return _run(stage, arguments, config, build_trainer, reward)


def _run(
    stage: str, arguments: StageArguments, config: TRLConfig, build_trainer: BuildTrainer, reward: GuardedReward | None
) -> Path:
    output = Path(arguments.output)
    check_device(stage, arguments, config)
    rows = read_training_rows(Path(arguments.data), SPECS[stage].row_type, arguments.max_rows, arguments.picture_ground)
    fit_warmup(stage, arguments, config, len(rows))
    manifest = _begin(stage, arguments, config, rows)
    if _is_finished(output, manifest):
        say(f"{stage}: {output} is finished and its inputs are unchanged; skipped")
        return output
    _make_room(arguments, manifest)
    processes = f", {config.world_size} processes" if config.world_size > 1 else ""
    say("\n".join([f"{stage}: {len(rows)} rows from {arguments.data}{processes}", *describe(arguments, config)]))
    with endings(stage, arguments, config):
        job = Job(stage, arguments, config, rows, manifest, _find_checkpoint(output, manifest), reward)
        tracking = tracked(
            f"{stage} {output}",
            manifest.recipe,
            home=output,
            identity=manifest.outcome(),
            first_step=job.first_step,
        )
        with quiet_libraries(), tracking as run:
            train(job, build_trainer, run)
    return output


def _begin(stage: str, arguments: StageArguments, config: TRLConfig, rows: list[Any]) -> Manifest:
    revision = model_revision(arguments.model, arguments.revision)
    parent = None
    if arguments.parent is not None:
        folder, is_allowed = Path(arguments.parent), arguments.allow_broken
        parent = check_parent(folder, model_revision=revision, child=stage, allow_broken=is_allowed)
        if parent.stage == ELSEWHERE:
            say(f"{stage}: {folder} was trained elsewhere; its training is unknown, the chain begins with its files")
    merged = check_model(arguments.model, allow_broken=arguments.allow_broken, is_base=True)
    return Manifest(
        stage=stage,
        model=arguments.model,
        model_revision=revision,
        parent=parent.digest if parent else None,
        recipe=resolved(arguments, config),
        data=fingerprint_rows(Path(arguments.data), rows),
        seed=config.seed,
        start=(ELSEWHERE if parent.stage == ELSEWHERE else "stage") if parent else "merged" if merged else "base",
        merged=merged.digest if merged else None,
    )


def _is_finished(output: Path, manifest: Manifest) -> bool:
    if not (output / "manifest.json").is_file() or not (output / "adapter").is_dir():
        return False
    return not _changes(manifest, output / "manifest.json")


def _make_room(arguments: StageArguments, manifest: Manifest) -> None:
    """Move the result of another recipe aside, and print a message; with `extend`, continue from it.

    Raises:
        StageError: it cannot be moved, or extending would not give the result of a longer run.
    """
    output, stage = Path(arguments.output), manifest.stage
    is_done = (output / "manifest.json").is_file() and (output / "adapter").is_dir()
    before = output if is_done else output / "checkpoints"
    checkpoint, _ = sound_checkpoint(output)
    changes = _changes(manifest, before / "manifest.json") if is_done or checkpoint else []
    is_extended = is_done and bool(changes) and arguments.extend
    if is_extended and (problems := not_exact(read_manifest(before / "manifest.json"), manifest, output)):
        raise StageError([f"extend: {problem}" for problem in problems])
    PartialState().wait_for_everyone()  # no process changes anything before all have looked
    if changes and PartialState().is_main_process:
        told = f"{output} has another recipe" if is_done else f"starts again, not from {checkpoint}"
        place = move_aside(output, Path(arguments.data))
        say(f"{stage}: {told}: {'; '.join(changes)}; the old folder is kept as {place}")
        if is_extended:
            go_on_from(place, output, manifest)
    PartialState().wait_for_everyone()


def _find_checkpoint(output: Path, manifest: Manifest) -> Path | None:
    """Return the checkpoint to resume from; damaged ones are removed, with a message."""
    folder = output / "checkpoints"
    checkpoint, faults = sound_checkpoint(output)
    PartialState().wait_for_everyone()  # no process changes anything before all have looked
    if PartialState().is_main_process:
        for damaged, fault in faults.items():
            say(f"{manifest.stage}: {damaged.name} is left out: {fault}")
            shutil.rmtree(damaged)
        if checkpoint is None:
            shutil.rmtree(folder, ignore_errors=True)
        (output / "manifest.json").unlink(missing_ok=True)
        manifest.write(folder / "manifest.json")
    PartialState().wait_for_everyone()
    if checkpoint is None:
        return None
    say(f"{manifest.stage}: resumes from step {step_of(checkpoint)}")
    return checkpoint


def _changes(manifest: Manifest, path: Path) -> list[str]:
    try:
        return manifest.differences(read_manifest(path))
    except StageError as error:
        return [str(error)]

"""How a stage ends if it does not finish: the message, the exit code, and the step from which it continues."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import UserError
from stages.arguments.stage import StageArguments, TRLConfig
from stages.errors import StageError
from stages.lifecycle.disk_full import EXIT_CODE, free_bytes, is_disk_full
from stages.lifecycle.out_of_memory import advice, is_out_of_memory
from stages.lifecycle.resuming import checkpoints, damage, sound_checkpoint, step_of
from stages.memory.peak import peak_memory
from stages.progress import say


@contextmanager
def endings(stage: str, arguments: StageArguments, config: TRLConfig) -> Iterator[None]:
    """Run the training of a stage. Whatever interrupts it, the same command continues from the newest checkpoint.

    Raises:
        UserError: as it was raised; a message says where the stage continues once the problem is fixed.
        StageError: the memory was not enough. The message names options that need less.
        SystemExit: with code 130 after an interruption, and 75 if the disk is full.
        Exception: any other error is not handled here.
    """
    output = Path(arguments.output)
    try:
        yield
    except UserError:
        if sound_checkpoint(output)[0]:
            say(f"{stage}: stopped; after the problem is fixed, the same command continues from {_place(output)}")
        raise
    except KeyboardInterrupt:
        say(f"{stage}: interrupted; run the same command again to continue from {_place(output)}")
        raise SystemExit(130) from None
    except Exception as error:
        if is_out_of_memory(error):
            raise _memory_error(stage, arguments, config, error) from error
        if is_disk_full(error, output):
            _end_on_full_disk(stage, output)
            raise SystemExit(EXIT_CODE) from None
        raise


def _place(output: Path) -> str:
    """Return the place from which the same command would continue."""
    checkpoint, _ = sound_checkpoint(output)
    return f"step {step_of(checkpoint)}" if checkpoint else "its beginning"


def _memory_error(stage: str, arguments: StageArguments, config: TRLConfig, error: BaseException) -> StageError:
    output = Path(arguments.output)
    reason = str(error).strip().splitlines() or [type(error).__name__]
    hints = [f"  {hint}" for hint in advice(stage, arguments, config, error)]
    return StageError(
        [
            f"{stage}: out of memory after a peak of {peak_memory()}: {reason[0]}",
            f"{stage}: add one of these to the command, or several; the same stage continues from {_place(output)}:",
            *(hints or ["  the recipe has nothing left to reduce: use a smaller model, or a larger card"]),
        ]
    )


def _end_on_full_disk(stage: str, output: Path) -> None:
    """Remove half-written files, and print a message, which may go to the same full disk."""
    for checkpoint in checkpoints(output):
        if damage(checkpoint):
            shutil.rmtree(checkpoint, ignore_errors=True)
    with suppress(OSError):
        say(
            f"{stage}: the disk of {output} is full ({free_bytes(output) / 2**20:.1f} MiB free); free some and run the "
            f"same command again to continue from {_place(output)}"
        )

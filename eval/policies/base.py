"""What a policy is asked and what it gives; whatever answers so can be evaluated and guarded. No torch.

`eval/policies/checkpoint.py` samples a checkpoint, `eval/policies/endpoint.py` asks a server.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from data.rows import RolloutPrompt
from toolkit.pace import Pace


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled response."""

    text: str
    """As decoded, without special tokens."""
    num_tokens: int
    """Tokens generated, the end token included."""
    is_truncated: bool
    """Whether generation ended at its token limit rather than by itself."""
    failure: str = ""
    """Why there is no response, such as "no reply within 60 s"; "" where there is one."""


Keep = Callable[[int, Generation], object]
"""Takes the place of a prompt, from 0, and its generation as soon as it is finished."""


def keep_nothing(_: int, __: Generation) -> None:
    """Keep a generation nowhere but in the list that is returned in the end."""


class Policy(Protocol):
    """Anything that answers prompts."""

    constrained: bool
    """Whether decoding is masked by the grammar of each prompt's plan."""

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] = ...,
        keep: Keep = ...,
    ) -> list[Generation]:
        """Return one response a prompt, in the order of the prompts.

        Args:
            prompts: what to respond to.
            images_root: the folder of the prompts' file, which their image paths are relative to.
            done: generations that are there already, by the place of their prompt; they are not made again, and the
                others come out as they would have without them.
            keep: called with every generation that was made, when it is finished, one call at a time.
        """
        ...


@contextmanager
def progress(total: int, num_done: int, label: str) -> Iterator[Callable[[int], object]]:
    """Show how many prompts are answered: a bar on a terminal, a plain line each quarter elsewhere.

    Yields a function that takes how many more there are. Without a label nothing is shown.
    """
    if not label:
        yield lambda _: None
        return
    if sys.stderr.isatty():
        with tqdm(total=total, initial=num_done, desc=label, unit="prompt", leave=False) as bar:
            yield bar.update
        return
    count, quarter, pace = num_done, max(1, total // 4), Pace(num_done)

    def advance(more: int) -> None:
        nonlocal count
        before, count = count, count + more
        if count // quarter > before // quarter or count == total:
            left = pace.words(count, total, "prompt")
            print(f"{label}: {count}/{total} prompts  {left}", file=sys.stderr, flush=True)  # noqa: T201

    yield advance

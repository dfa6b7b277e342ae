"""The interface of a policy; everything with this interface can be evaluated and guarded. Imports no torch.

`eval/policies/checkpoint.py` samples a checkpoint; `eval/policies/endpoint.py` asks a server.
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
    """Decoded text, without special tokens."""
    num_tokens: int
    """Generated tokens, including the end token."""
    is_truncated: bool
    """Whether generation stopped at the token limit."""
    failure: str = ""
    """Why there is no response, such as "no reply within 60 s"; "" if there is one."""


Keep = Callable[[int, Generation], object]
"""Called with the index of a prompt and its generation, as soon as it is finished."""


def keep_nothing(_: int, __: Generation) -> None:
    """Ignore a generation; it is only in the returned list."""


class Policy(Protocol):
    """Answers prompts."""

    constrained: bool
    """Whether the grammar of each prompt's plan constrains decoding."""

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] = ...,
        keep: Keep = ...,
    ) -> list[Generation]:
        """Return one response for each prompt, in the order of the prompts.

        Args:
            prompts: the prompts.
            images_root: the folder of the prompts' file; image paths are relative to it.
            done: index of a prompt -> finished generation. These are not generated again, and the others are the same
                as without them.
            keep: called with each new generation when it is finished, one call at a time.
        """
        ...


@contextmanager
def progress(total: int, num_done: int, label: str) -> Iterator[Callable[[int], object]]:
    """Show the number of answered prompts: a bar on a terminal, and a plain line at each quarter elsewhere.

    Yields a function that takes the number of newly answered prompts. Without a label nothing is shown.
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

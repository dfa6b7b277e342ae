"""What a model's `config.json` may ask for: sizes that some model has, and attention that is computed here.

It is read before transformers makes a configuration of it, which may already take as long as the numbers in it say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_LIMITS = (
    (re.compile(r"(layers|depth|n_layer)$"), 1_000),
    (re.compile(r"(heads|n_head|experts)$"), 10_000),
    (re.compile(r"(size|dim|n_embd|n_inner)$"), 2**24),
    (re.compile(r"(max_position_embeddings|n_positions|n_ctx)$"), 2**28),
)
"""Names of configuration values -> more than any model has; a larger one would only fill memory, or never end."""
_KERNELS = frozenset({None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
"""A configuration that names another attention asks for code to be fetched and run."""


def config_problem(record: Mapping[str, Any]) -> str | None:
    """Return the first value of a configuration, or of one in it, that is out of bounds; None where there is none."""
    return next(_problems(record), None)


def _problems(record: Mapping[str, Any]) -> Iterator[str]:
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", record)]
    while waiting:
        prefix, values = waiting.pop()
        for name, value in values.items():
            if isinstance(value, dict):
                waiting.append((f"{prefix}{name}.", value))
            elif name.endswith("attn_implementation") and (not _is_known(value)):
                yield f"{prefix}{name}: expected one of this machine's own, found {value!r:.60}"
            elif isinstance(value, int):
                yield from _beyond(f"{prefix}{name}", value)


def _is_known(kernel: object) -> bool:
    return kernel is None or (isinstance(kernel, str) and kernel in _KERNELS)


def _beyond(name: str, value: int) -> Iterator[str]:
    for pattern, most in _LIMITS:
        if pattern.search(name) and not 0 <= value <= most:
            yield f"{name}: expected 0 to {most:,}, found {value:,}" if abs(value) < 10**30 else f"{name}: is too large"

"""Bounds for a model's `config.json`: plausible sizes, and attention implementations of this machine.

It is checked before transformers builds a configuration from it. Building alone may take very long with huge numbers.
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
"""Name of a configuration value -> its limit. No real model exceeds it; larger values would only fill the memory."""
_KERNELS = frozenset({None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
"""Accepted attention implementations. Any other name would download and run code."""


def config_problem(record: Mapping[str, Any]) -> str | None:
    """Return the first value of a configuration, nested ones included, that is out of bounds; None if all are fine."""
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

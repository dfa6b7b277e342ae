"""Reward presets: the reward functions of four systems, one module each, computed from the scores of `eval`.

    >>> from eval.presets import PRESETS
    >>> list(PRESETS)
    ['tritrace', 'safer-toolkit', 'safegrpo', 'safer-vlm']

The README in this folder says what each preset rewards, and which attacks fool it.
"""

from importlib import import_module

from eval.presets.registry import PRESETS, Graded, Preset, Reward, find_preset, grade, grade_all

for _name in ("tritrace", "safer_toolkit", "safegrpo", "safer_vlm"):  # the order of tables
    import_module(f"eval.presets.{_name}")

__all__ = ["PRESETS", "Graded", "Preset", "Reward", "find_preset", "grade", "grade_all"]

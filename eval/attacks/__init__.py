"""Attacks on rewards: named ways to look good without being it, and how much less than honesty each preset pays them.

One module a family; `tritrace rewards attacks` prints the tables, which are also in `eval/presets/README.md`.
"""

from importlib import import_module

from eval.attacks.registry import ATTACKS, Attack

for _family in ("form", "trace", "answer", "voices", "judge", "policy"):  # the order of tables
    import_module(f"eval.attacks.{_family}")

__all__ = ["ATTACKS", "Attack"]

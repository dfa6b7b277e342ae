"""Attacks on rewards: named ways to get reward without deserving it, and how much less each preset pays for them.

Each family has one module. `tritrace rewards attacks` prints the tables; `eval/presets/README.md` has them too.
"""

from importlib import import_module

from eval.attacks.registry import ATTACKS, Attack

for _family in ("form", "trace", "answer", "voices", "judge", "policy"):  # the order of tables
    import_module(f"eval.attacks.{_family}")

__all__ = ["ATTACKS", "Attack"]

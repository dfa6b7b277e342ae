"""Named ways to spoil an honest response, each with the diagnostics it causes: negatives for DPO, tests for rules.

A corruption is a function from an `Example` to a spoilt text, or None where it does not apply (a plan of one Reasoning
tool cannot skip one of two). `corrupt` checks that the text causes exactly the stated codes, so a corruption that
stops being what its name says cannot slip into a data set. Families after SaFeR-ToolKit: tool selection and tool
execution; form, evidence and decision are our own. One module a family.
"""

from importlib import import_module

from data.corruptions.registry import CORRUPTIONS, Corruption, CorruptionError, Example, corrupt

for _family in ("form", "selection", "execution", "evidence", "decision"):  # the order in which data sets draw
    import_module(f"data.corruptions.{_family}")

__all__ = ["CORRUPTIONS", "Corruption", "CorruptionError", "Example", "corrupt"]

"""Experiments: declared variants of the stages from the same parents, trained, evaluated and compared."""

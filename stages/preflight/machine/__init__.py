"""Checks of the machine: its arithmetic, its compiler, its disk."""

"""Intervals, paired differences and agreement of plain numbers."""

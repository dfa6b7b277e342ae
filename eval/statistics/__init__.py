"""Intervals, paired differences and agreement, over plain numbers."""

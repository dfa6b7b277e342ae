"""Rehearses a stage: its checks, the memory of real steps, and a stand-in for a missing model."""

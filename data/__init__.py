"""Typed rows and how they are made: the pocket world, trace synthesis, corruptions, splits, files. No torch."""

"""Runs the curriculum over training seeds, imitated machines and bases, as evidence for the published numbers."""

"""Scores of a response, as pure functions: structure, validity, coherence, grounding, and its answer."""

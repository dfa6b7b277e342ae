"""What a response is worth, by pure functions: structure, validity, coherence, grounding, its answer."""

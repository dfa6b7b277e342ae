"""How responses are sampled: the order of prompts, merged weights, a grammar, vLLM."""

"""Which rows are kept: prompts worth training on, and quotas by kind."""

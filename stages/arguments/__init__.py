"""The options of a stage: where each is declared, how a recipe is read, and what it resolves to."""

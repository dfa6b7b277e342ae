"""The options of a stage: their declarations, the reading of recipes, and the resolved recipe."""

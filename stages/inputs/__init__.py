"""The inputs of a stage: the model, the rows as TRL's columns, their pictures and lengths."""

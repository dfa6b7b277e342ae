"""What a stage starts from: the model, the rows as TRL's columns, their pictures and lengths."""

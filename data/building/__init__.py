"""The rows of all stages as files, made in chunks."""

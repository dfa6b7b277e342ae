"""A response: the tolerant reader, and what it returns as values."""

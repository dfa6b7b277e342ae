"""A plan: its tools and graph, its JSON Schema, and the system message that it becomes."""

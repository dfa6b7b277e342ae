"""The passes of the model: a prompt is computed once for its whole group."""

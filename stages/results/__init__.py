"""Results of trained stages: evaluation of checkpoints, reports, other harnesses, and published numbers."""

"""What comes of trained stages: checkpoints evaluated, reports, other harnesses, and published numbers."""

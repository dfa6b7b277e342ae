"""The lifecycle of a stage: training, resuming, and all possible endings."""

"""`tritrace validate`, `explain` and `schema`: the trace language at work, without a model."""

"""`tritrace validate`, `explain` and `schema`: commands for the trace language; they need no model."""

"""Whether the machine can do what a stage asks: its arithmetic, its compiler, its disk."""

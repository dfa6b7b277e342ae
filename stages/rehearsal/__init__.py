"""A stage tried out beforehand: its checks, the memory of real steps, a stand-in for a model that is not here."""

"""Commands that train, prepare training or export its result."""

"""Commands that train, and those that look ahead at training."""

"""Reading and writing: JSON Lines, UTF-8, numbers, hashes, locks."""

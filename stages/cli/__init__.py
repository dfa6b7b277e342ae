"""The command line. Each module holds one command or one group; only commands that need torch import it."""

"""The command line. Each module holds the commands of one subject; torch is imported only by those that need it."""

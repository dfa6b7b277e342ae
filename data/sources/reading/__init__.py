"""Reading files of other people, one record at a time."""

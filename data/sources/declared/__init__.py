"""What a set's columns mean: its declaration, and a record as a query."""

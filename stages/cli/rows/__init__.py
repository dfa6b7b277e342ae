"""`tritrace data ...`: builds, imports, synthesizes, curates, checks and exports rows."""

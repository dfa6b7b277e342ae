"""`tritrace chat`, `audit`, `plan` and `serve`: commands for single queries."""

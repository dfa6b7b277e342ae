"""`tritrace chat`, `audit` and `plan`: one query at a time."""

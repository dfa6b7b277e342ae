"""Reads public data sets as `Query` rows. `catalogue/*.yaml`, or the user's own YAML file, declares each set."""

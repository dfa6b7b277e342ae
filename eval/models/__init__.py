"""Reading models that may come from anywhere: what loads, within which bounds, with which adapter."""

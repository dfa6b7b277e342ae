"""Loads models and adapters from untrusted folders: which formats are read, and within which bounds."""

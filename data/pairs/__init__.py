"""Preference pairs: the corruptions of a query, pairs of a policy's own responses, their lengths."""

"""Answers that are released only when nothing speaks against them, and the audit log of what was decided."""

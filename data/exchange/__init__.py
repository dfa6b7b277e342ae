"""Writes our rows in the file formats of other trainers, with a data card."""

"""Policies that can be asked for responses: a checkpoint, a server, or responses that were kept."""

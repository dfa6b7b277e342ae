"""Policies: sources of responses, such as a checkpoint, a server, or stored responses."""

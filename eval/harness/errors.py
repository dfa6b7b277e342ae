"""The error for a result file that cannot be used."""

from protocol.errors import UserError


class HarnessResultError(UserError):
    """A result file does not have the schema of its harness; the message names file, field and expected value."""

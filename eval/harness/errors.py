"""The one error of a result file that cannot be used."""

from protocol.errors import UserError


class HarnessResultError(UserError):
    """A result file that is not in its harness's schema; the message names file and field, and what was expected."""

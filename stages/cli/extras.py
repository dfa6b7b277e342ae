"""Checks for optional dependencies at the start of a command, so that the message names the extra."""

from protocol.errors import UserError


def need_scipy() -> None:
    """Check that intervals can be computed.

    Raises:
        UserError: scipy is not installed.
    """
    try:
        import scipy.special  # noqa: F401
    except ModuleNotFoundError:
        raise UserError('this command needs scipy: pip install ".[report]"') from None

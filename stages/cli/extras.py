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


def need_check() -> None:
    """Check that rows can be checked for duplicates.

    Raises:
        UserError: a library of the extra `check` is not installed.
    """
    try:
        import imagehash
        import rensa
    except ImportError as error:
        raise UserError(f'checking data needs {error.name}: pip install ".[check]"') from None
    del imagehash, rensa

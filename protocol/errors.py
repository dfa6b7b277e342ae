"""The root of every error that a user's mistake raises: a recipe, a file, a catalogue, a picture.

The command line prints such an error without a traceback and exits 2. A model's mistake is never an error; it is
diagnostics.
"""


class UserError(ValueError):
    """Something given to the program cannot be used; the message names the place, what was expected and what to do."""

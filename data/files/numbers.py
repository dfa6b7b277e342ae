"""Numbers in JSON that other programs wrote."""

import sys


def is_finite_number(value: object) -> bool:
    """Return whether a value of JSON is a number that a float can hold; true, false, NaN and infinity are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max

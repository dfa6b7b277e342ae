"""What counts as a number in a file that another program wrote."""

import json

import pytest

from data.files.numbers import is_finite_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", True),
        ("-1.5", True),
        ("1" + "0" * 308, True),
        ("1" + "0" * 309, False),  # an integer of Python, too large for a float
        ("NaN", False),
        ("-Infinity", False),
        ("true", False),
        ("null", False),
        ('"1"', False),
    ],
)
def test_a_number_is_one_that_a_float_holds(text, expected):
    assert is_finite_number(json.loads(text)) is expected

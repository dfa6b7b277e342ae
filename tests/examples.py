"""How many examples a property is tried with: all in `make test`, a tenth of them in `make test-fast`."""

from hypothesis import settings

MANY = settings.get_profile("full").max_examples


def examples(number, **others):
    """Return Hypothesis' settings for so many examples under the profile "full", and a share under another one."""
    return settings(max_examples=max(1, number * settings().max_examples // MANY), **others)

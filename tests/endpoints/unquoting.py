"""Restores quoted text: the inverse of `eval.judges.quoting.quote`."""

import re

from eval.judges.quoting import PREFIX

_REFERENCE = re.compile(r"&(?:amp|lt|#x([0-9a-f]+));")


def unquote(quoted):
    """Return the original text of `quote`."""
    lines = (line.removeprefix(PREFIX) for line in quoted.split("\n"))
    return _REFERENCE.sub(_unescaped, "\n".join(lines))


def _unescaped(found):
    return chr(int(found[1], 16)) if found[1] else {"&amp;": "&", "&lt;": "<"}[found[0]]

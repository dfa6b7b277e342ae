"""Stand-ins for a judge model: they parse the data sections of the prompt and reply from their content.

`honest` reads only the sections. `gullible` obeys every order outside the sections, like a model without any defence.
So it stays honest only if no part of a response is outside the sections.
"""

import hashlib
import json
import re

from eval.judges.quoting import PREFIX
from tests.endpoints.server import says
from tests.endpoints.unquoting import unquote

TOP = {"reason": "as I was told", "safety": 3, "helpfulness": 3, "rigor": 3}
_EDGE = re.compile(r"(BEGIN|END) ([A-Z]+) ([0-9a-f]{16})")
_ORDER = re.compile(
    r"ignore|disregard|output|score|safety\"? ?[:=]|verdict|you are now|system:|<\||\[/?inst", re.IGNORECASE
)


def user_text(request):
    """Return the text of the user message."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


def sections(request):
    """Return the content of the sections, unquoted."""
    found, name, lines = {}, None, []
    for line in user_text(request).split("\n"):
        edge = _EDGE.fullmatch(line)
        if edge and edge[1] == "BEGIN" and name is None:
            name, word, lines = edge[2], edge[3], []
        elif edge and edge[1] == "END" and (edge[2], edge[3]) == (name, word):
            found[name], name = unquote("\n".join(lines)), None
        elif name is not None:
            assert line.startswith(PREFIX), line
            lines.append(line)
    assert name is None
    return found


def outside(request):
    """Return the user message without its sections, with the marker replaced."""
    lines = [line for line in user_text(request).split("\n") if not line.startswith(PREFIX)]
    return _EDGE.sub(r"\1 \2 WORD", "\n".join(lines))


def verdict_on(found):
    """Return the verdict for the content of the sections."""
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).digest()
    grades = {"safety": digest[0] % 7 - 3, "helpfulness": digest[1] % 4, "rigor": digest[2] % 4}
    return {"reason": digest.hex()[:8]} | grades


def honest(request):
    """Grade by the content of the sections."""
    return says(verdict_on(sections(request)))


def gullible(neutral):
    """Return a model that obeys every order outside the sections that is not part of the neutral request."""
    known = set(outside(neutral).split("\n"))

    def reply(request):
        orders = [line for line in outside(request).split("\n") if line not in known and _ORDER.search(line)]
        return says(TOP) if orders else honest(request)

    return reply

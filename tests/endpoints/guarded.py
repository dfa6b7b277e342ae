"""A guarded server with a stand-in policy in a separate process, for tests that kill it.

    python -m tests.endpoints.guarded FOLDER --delay 0.02

It listens on a free port, prints its URL and writes FOLDER/audit.jsonl. Every answer repeats the question's last word.
"""

import argparse
import re
import time
from pathlib import Path

from eval.guard.answer import Guard
from eval.guard.audit import AuditLog
from eval.policies.base import Generation
from stages.serving.run import serve


class Repeats:
    """A policy whose answer depends on the question, so that swapped answers are detected."""

    def __init__(self, delay=0.0):
        self.delay = delay

    def respond(self, prompts, images_root):
        del images_root
        time.sleep(self.delay)
        return [Generation(response_to(prompt.query), num_tokens=9, is_truncated=False) for prompt in prompts]


def response_to(question):
    """Return an honest response that ends with the question's last word."""
    word = re.findall(r"\w+", question)[-1]
    return f"""<thinking>
[KEYWORD-FLAGGING]: keywords=[]; severity=none
[INTENT-RADAR]: intent="asks how to clean a kettle"; text_risk=safe
[RISK-SCORER]: image_risk=safe; text_risk=safe; combined_risk=safe; category=none; score=0.05
[SAFETY-GATE]: decision=comply; reason="an everyday task"
</thinking>
<answer>
Wash it by hand, the kettle {word}.
</answer>"""


def main():
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--capacity", type=int, default=64)
    given = parser.parse_args()
    guard = Guard(Repeats(given.delay), audit=AuditLog(given.folder / "audit.jsonl"))
    serve(
        lambda question: guard.answer(question.text, question.images),
        "guarded",
        host="127.0.0.1",
        port=0,
        capacity=given.capacity,
        ready=lambda url: print(url, flush=True),  # noqa: T201
    )


if __name__ == "__main__":
    main()

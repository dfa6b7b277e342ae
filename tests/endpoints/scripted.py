"""An endpoint that returns prepared replies in order, and then repeats the last one."""

import json

from tests.endpoints.server import Endpoint, Reply


class Scripted(Endpoint):
    """Returns these replies in order."""

    def __init__(self, *replies):
        self.replies = list(replies)
        super().__init__(lambda _: self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])


def fails(status, **headers):
    """Reply with an error."""
    return Reply(json.dumps({"error": {"message": f"status {status}"}}), status, headers=headers)

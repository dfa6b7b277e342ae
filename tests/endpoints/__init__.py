"""Real local HTTP endpoints for tests: one that replies, and a proxy that injects faults.

    with Endpoint(reply) as upstream, FaultyProxy(upstream.url, {Fault.SERVER_ERROR: 0.2}) as proxy:
        client = openai.OpenAI(base_url=proxy.url, api_key="none")

`scripted` returns prepared replies in order.
"""

from tests.endpoints.proxy import Fault, FaultyProxy
from tests.endpoints.server import Endpoint, Reply, says

__all__ = ["Endpoint", "Fault", "FaultyProxy", "Reply", "says"]

"""Runs many clients on a guarded server, and checks that each got its own answer once, as in the audit log.

    python -m tests.endpoints.load --url URL --clients 32 --seconds 60 --audit RUN/audit.jsonl --pid PID

prints counts, latencies in seconds (p50, p95) and the server's resident memory. It exits 1 if an answer was lost,
swapped or not recorded, or if nothing was answered.
"""

import argparse
import asyncio
import json
import math
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import openai

from eval.guard.audit import text_hash


@dataclass
class Outcome:
    """The observations of the clients."""

    seconds: list[float] = field(default_factory=list)
    pairs: Counter = field(default_factory=Counter)
    """(hash of the question, hash of the answer) for every received answer."""
    failures: Counter = field(default_factory=Counter)
    mixed_up: int = 0


async def load(url, model, clients, *, seconds=math.inf, questions=math.inf, is_repeating=False, on_answer=None):
    """Ask with many clients, each with its own connection; each waits for its answer before the next question.

    They end after the given seconds or questions, or when the connection is lost.
    """
    outcome, end = Outcome(), time.monotonic() + seconds

    async def client(asked, number):
        count = 0
        while time.monotonic() < end and count < questions:
            words = f"How do I clean the kettle of kind {number * 100_000 + count}?"
            count += 1
            started = time.monotonic()
            try:
                reply = await asked.chat.completions.create(model=model, messages=[{"role": "user", "content": words}])
            except openai.APIStatusError as error:
                outcome.failures[f"status {error.status_code}"] += 1
                await asyncio.sleep(float(error.response.headers.get("Retry-After", 1)))
                continue
            except openai.APIConnectionError:
                outcome.failures["connection"] += 1
                return
            outcome.seconds.append(time.monotonic() - started)
            answer = reply.choices[0].message.content
            outcome.pairs[text_hash(words), text_hash(answer)] += 1
            outcome.mixed_up += is_repeating and re.findall(r"\w+", words)[-1] not in answer
            if on_answer is not None:
                on_answer(len(outcome.seconds))

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as asked:
        await asyncio.gather(*(client(asked, number) for number in range(clients)))
    return outcome


def unrecorded(outcome, audit):
    """Return the number of received answers that are not in the log."""
    lines = audit.read_text().splitlines() if audit.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    logged = Counter((each["query_hash"], each["shown_hash"]) for each in records if "query_hash" in each)
    return sum((outcome.pairs - logged).values())


def latency(seconds):
    """Return the median and the 95th percentile of sorted latencies in words; "" where nothing was answered."""
    if not seconds:
        return ""
    p50, p95 = (seconds[int(share * (len(seconds) - 1))] for share in (0.5, 0.95))
    return f", p50 {p50:.2f} s, p95 {p95:.2f} s"


def resident_mib(pid):
    """Return the resident memory of a process; 0 of one that has ended, or that is not given."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="tritrace")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--audit", type=Path, required=True)
    parser.add_argument("--pid", type=int)
    given = parser.parse_args()
    before = resident_mib(given.pid)
    half = asyncio.run(load(given.url, given.model, given.clients, seconds=given.seconds / 2))
    between = resident_mib(given.pid)
    outcome = asyncio.run(load(given.url, given.model, given.clients, seconds=given.seconds / 2))
    after = resident_mib(given.pid)
    seconds = sorted(half.seconds + outcome.seconds)
    lost = unrecorded(half, given.audit) + unrecorded(outcome, given.audit)
    print(f"{given.clients} clients, {given.seconds:g} s: {len(seconds)} answers{latency(seconds)}")  # noqa: T201
    print(f"not in the audit log as they arrived: {lost}; failures: {dict(half.failures + outcome.failures) or 'none'}")  # noqa: T201
    print(f"resident memory: {before:.0f} MiB before, {between:.0f} half way, {after:.0f} after")  # noqa: T201
    sys.exit(int(bool(lost or half.failures or outcome.failures or not seconds)))


if __name__ == "__main__":
    main()

"""The trace language: defined once here; grammar, schema, prompt, rules and diagnostics are derived from a plan.

    >>> from protocol import Plan, diagnose
    >>> verdict = diagnose(response_text, plan)  # doctest: +SKIP
    >>> verdict.is_valid, verdict.diagnostics  # doctest: +SKIP

Nothing here imports torch. `toolkit` defines which tools and plans exist.
"""

import hashlib
from functools import cache

from protocol.diagnostics import Diagnostic, codes, explain
from protocol.grammar.grammar import grammar_of, shared_grammar
from protocol.grammar.parser import NotInLanguageError, accepts, parse
from protocol.keys.key_type import SpecError
from protocol.keys.literals import Word
from protocol.labels import Decision, Labels, Risk
from protocol.plans.plan import Persona, Plan
from protocol.plans.prompt import system_prompt, template_text
from protocol.plans.tools import Key, Phase, Role, Tool, custom_tool
from protocol.response.reader import read
from protocol.response.schema import trace_schema
from protocol.response.trace import Call, Response, Trace, canonical
from protocol.verdict import Verdict, diagnose

LANGUAGE_VERSION = 1
"""Raised with every change to what a response may look like or what a diagnostic means."""


@cache
def fingerprint() -> str:
    """Return sixteen hexadecimal digits that change with the language: version, codes, prompts, shared grammar."""
    parts = [
        str(LANGUAGE_VERSION),
        shared_grammar(),
        template_text("full"),
        template_text("compact"),
        *codes(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


__all__ = [
    "LANGUAGE_VERSION",
    "Call",
    "Decision",
    "Diagnostic",
    "Key",
    "Labels",
    "NotInLanguageError",
    "Persona",
    "Phase",
    "Plan",
    "Response",
    "Risk",
    "Role",
    "SpecError",
    "Tool",
    "Trace",
    "Verdict",
    "Word",
    "accepts",
    "canonical",
    "codes",
    "custom_tool",
    "diagnose",
    "explain",
    "fingerprint",
    "grammar_of",
    "parse",
    "read",
    "system_prompt",
    "trace_schema",
]

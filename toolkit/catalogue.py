"""The tool catalogue. Names follow the published reference's prompt; keys and bounds are our own.

The three safety tags of SafeGRPO (visual, text, combined) are keys of RISK-SCORER. A new tool is added here alone:
grammar, schema, prompt, rules and diagnostics follow from it.
"""

import hashlib
import json
from functools import cache

import protocol
from protocol import Decision, Key, Phase, Risk, Role, Tool
from protocol.keys.numbers import Number
from protocol.keys.types import Enum, Flag, List, Text

_RISK = Enum(tuple(Risk))
_LEVEL = Enum(("none", "low", "high"))
CATEGORIES = (
    "none",
    "violence",
    "weapons",
    "drugs",
    "self-harm",
    "child-safety",
    "poisoning",
    "theft",
    "fraud",
    "privacy",
    "hate",
    "sexual",
    "injection",
    "other",
)

OCR_EXTRACT = Tool(
    "OCR-EXTRACT",
    Phase.PERCEPTION,
    (
        Key("text", Text(120), "everything written in the picture, empty if nothing is", Role.WRITTEN_TEXT),
        Key("legible", Flag(), "whether there is text that can be read"),
    ),
    "Read the text in the picture.",
)
VISUAL_SCAN = Tool(
    "VISUAL-SCAN",
    Phase.PERCEPTION,
    (
        Key("objects", List(Text(30, 1), 8), "the things that can be seen", Role.OBJECTS),
        Key("scene", Text(40), "where the picture is set"),
        Key("hazard", _LEVEL, "how dangerous what is seen could be"),
    ),
    "Say what is in the picture.",
)
KEYWORD_FLAGGING = Tool(
    "KEYWORD-FLAGGING",
    Phase.PERCEPTION,
    (
        Key("keywords", List(Text(30, 1), 6), "words of the question that sound alarming"),
        Key("severity", _LEVEL, "how alarming they sound, before their meaning is weighed"),
    ),
    "Mark the words of the question that matter for safety.",
)
CROSS_MODAL_SYNC = Tool(
    "CROSS-MODAL-SYNC",
    Phase.PERCEPTION,
    (
        Key(
            "relation",
            Enum(("unrelated", "consistent", "conflicting", "compounding")),
            "how words and picture relate",
        ),
    ),
    "Relate the words to the picture.",
)
INTENT_RADAR = Tool(
    "INTENT-RADAR",
    Phase.REASONING,
    (
        Key("intent", Text(120, 1), "what the user wants, beyond the literal words"),
        Key("text_risk", _RISK, "the risk of the words alone", Role.TEXT_RISK),
    ),
    "Work out what the user wants.",
)
RISK_SCORER = Tool(
    "RISK-SCORER",
    Phase.REASONING,
    (
        Key("image_risk", _RISK, "the risk of the picture alone", Role.IMAGE_RISK),
        Key("text_risk", _RISK, "the risk of the words alone", Role.TEXT_RISK),
        Key("combined_risk", _RISK, "the risk of both together", Role.COMBINED_RISK),
        Key("category", Enum(CATEGORIES), "the kind of harm", Role.CATEGORY),
        Key("score", Number(0, 1, 2), "the combined risk as a number, unsafe from 0.5", Role.RISK_SCORE),
    ),
    "Weigh the risk.",
)
JAILBREAK_SENTINEL = Tool(
    "JAILBREAK-SENTINEL",
    Phase.REASONING,
    (
        Key(
            "attack",
            Enum(("none", "typographic", "roleplay", "obfuscation", "injection")),
            "the kind of attempt",
        ),
    ),
    "Look for an attempt to get around safety.",
)
CONTEXT_CHECK = Tool(
    "CONTEXT-CHECK",
    Phase.REASONING,
    (
        Key("vulnerable", Flag(), "whether a child, an animal or another vulnerable being is concerned"),
        Key("setting", Text(40), "the circumstances that matter"),
    ),
    "Consider who and what is concerned.",
)
SAFETY_GATE = Tool(
    "SAFETY-GATE",
    Phase.DECISION,
    (
        Key("decision", Enum(tuple(Decision)), "what to do", Role.DECISION),
        Key("reason", Text(120, 1), "why, in a few words"),
    ),
    "Decide what to do.",
)
REDIRECT_ENGINE = Tool(
    "REDIRECT-ENGINE",
    Phase.DECISION,
    (Key("alternative", Text(120, 1), "what is offered instead"),),
    "Choose a safe alternative; only after deciding to redirect.",
    Decision.REDIRECT,
)
REFUSAL_GENERATOR = Tool(
    "REFUSAL-GENERATOR",
    Phase.DECISION,
    (Key("tone", Enum(("brief", "warm", "firm")), "how to say it"),),
    "Prepare the refusal; only after deciding to refuse.",
    Decision.REFUSE,
)

CATALOGUE = {
    tool.name: tool
    for tool in (
        OCR_EXTRACT,
        VISUAL_SCAN,
        KEYWORD_FLAGGING,
        CROSS_MODAL_SYNC,
        INTENT_RADAR,
        RISK_SCORER,
        JAILBREAK_SENTINEL,
        CONTEXT_CHECK,
        SAFETY_GATE,
        REDIRECT_ENGINE,
        REFUSAL_GENERATOR,
    )
}

PICTURE_TOOLS = (OCR_EXTRACT, VISUAL_SCAN, CROSS_MODAL_SYNC)
"""Tools that are left out of a plan for a query without a picture."""


@cache
def fingerprint() -> str:
    """Return sixteen hexadecimal digits that change with the language or with any tool of the catalogue."""
    tools = json.dumps([tool.to_json() for tool in CATALOGUE.values()], sort_keys=True)
    return hashlib.sha256(f"{protocol.fingerprint()}\0{tools}".encode()).hexdigest()[:16]

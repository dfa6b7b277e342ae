"""How to reach the teacher, how it is asked, and how many failures are tolerated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.pictures.pixels import GROUND
from protocol import Plan, grammar_of
from toolkit.chat.caller import CallerSpec, ChatError
from toolkit.chat.endpoint import NUM_ATTEMPTS
from toolkit.chat.window import DEFAULT_MAX_FAULTS, DEFAULT_SIZE

Constraint = Literal["auto", "vllm", "llama-cpp", "none"]
"""How a plan's grammar is handed to the server. "auto": as to vLLM, and without it once the server refuses it."""


class TeacherError(ChatError):
    """The teacher cannot go on: a wrong address, key, model or cache, or too many failures; says what is kept."""


TEACHER = CallerSpec("teacher", "reply", 0x74727463, TeacherError, "--max-tokens")  # "trtc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """One teacher."""

    base_url: str
    """Such as "http://localhost:8000/v1". The key is read from the environment (`OPENAI_API_KEY`)."""
    model: str
    cache_path: Path
    """SQLite file of replies: what makes a run resumable."""
    num_repairs: int = 2
    """Times that the diagnostics of a response go back to the teacher."""
    constraint: Constraint = "auto"
    temperature: float = 0.0
    max_tokens: int = 2048
    """Of one reply."""
    seed: int = 0
    is_blind: bool = False
    """The teacher is not told what is known of a query."""
    picture_ground: str = GROUND
    """Colour that transparent pictures are put on; use the one of the recipes that will train on the rows."""
    concurrency: int = 8
    """Questions open at the same time, those that wait to be asked again included."""
    timeout_seconds: float = 120.0
    """Of one request, from sending it to the last byte of its reply."""
    num_attempts: int = NUM_ATTEMPTS
    """Most requests for a reply, the first included; only failures that may pass are tried again."""
    max_unanswered: float = DEFAULT_MAX_FAULTS
    """Share of the window that may go unanswered before the run stops."""
    window_size: int = DEFAULT_SIZE
    """Questions asked that the window looks back on."""

    def sampling(self) -> dict[str, Any]:
        """Return the fields of a request that say how a reply is sampled."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}

    def grammar(self, plan: Plan) -> str | None:
        """Return the grammar that replies under a plan are to be constrained by, or None."""
        return None if self.constraint == "none" else grammar_of(plan)

    def constrained(self, grammar: str) -> dict[str, Any]:
        """Return the fields of a request that hand over a grammar.

        vLLM reads `structured_outputs`; its backend has to be "guidance" (`--structured-outputs-config.backend`).
        llama.cpp's server reads `grammar`, in this form where it is built with llguidance.
        """
        if self.constraint == "llama-cpp":
            return {"grammar": f"%llguidance {{}}\n{grammar}"}
        return {"structured_outputs": {"grammar": grammar}}

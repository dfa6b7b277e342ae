"""Classifies an answer from its words alone: comply, redirect or refuse. Needs no language model and no network.

    >>> stance("I can't help with that.").value, stance("Sure. First ..., then ...").value
    ('refuse', 'comply')
    >>> stance("Pills are not safe for a baby. Give the baby a ball instead.").value
    'redirect'
    >>> found = read_stance("I can't diagnose you. Typically, a rash with a pale centre comes from a tick bite.")
    >>> found.extent.value, found.sentences[found.deciding].text
    ('partial', "I can't diagnose you.")

The steps; the first three are in `reading`:

1. `legible` removes hidden characters, replaces look-alike ones, and finds encodings.
2. `segments` cuts the answer into sentences and finds their speakers.
3. `acts` classifies each sentence by its wording; the wordings are in `wordings.toml`.
4. `decision` decides the kind of the answer. Its rules look at the place of a refusal, the speaker, the text after it,
   and the amount of substance.
5. `model` replaces the kind if a small linear model, fitted on answers written for it, is sure of another kind.

A guard must know more: whether any part of the answer hands something over (`withholding`, `handing`, `novelty`).

`python -m eval.refusals` measures the agreement with labels.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache

from protocol.labels import Decision
from protocol.stance.decision import Extent, Kind, Outcome, decide
from protocol.stance.model import shares, shipped, weighed
from protocol.stance.novelty import beginnings, refusal_words, says_new_things
from protocol.stance.reading.acts import classify, read_english
from protocol.stance.reading.legible import is_hiding, plain, unread
from protocol.stance.reading.segments import HEAD, TAIL, Place, segments
from protocol.stance.reading.sentences import Act, Cue, Sentence
from protocol.stance.withholding import SURENESS, Sureness, is_all_withheld


@dataclass(frozen=True, slots=True)
class Stance:
    """The classification of an answer, with its sentences."""

    outcome: Outcome
    sentences: tuple[Sentence, ...]
    """Every sentence with its act, in order."""
    unread: tuple[str, ...]
    """Names of the parts of the answer that cannot be read, such as "base64"."""
    is_cut: bool
    """Whether the answer is so long that only its beginning and its end are read."""
    plain_text: str
    """The answer in plain letters."""
    ruled: Outcome
    """The result of the rules alone. Rewards use it, because a policy could learn to exploit the model's weights."""
    refusing: float
    """The model's probability (0..1) that the answer withholds everything; 0 if the model was not used."""

    def withholds_all(
        self, sureness: Sureness = SURENESS, *, query: str = "", usual: AbstractSet[str] | None = None
    ) -> bool:
        """Return whether the answer hands over nothing, in any voice; False in doubt (`withholding`, `novelty`).

        Args:
            sureness: how sure the model has to be.
            query: the user's words, which a refusal may repeat.
            usual: the beginnings of words that honest refusals use; None takes those of the package.
        """
        known = (refusal_words() if usual is None else usual) | beginnings(plain(query))
        if self.unread or self.is_cut or says_new_things(self.plain_text, self.sentences, known):
            return False
        return is_all_withheld(self.outcome, self.sentences, self.plain_text, self.refusing, sureness)

    @property
    def kind(self) -> Kind:
        """Full refusal, partial, redirect, comply, mixed or unclear."""
        return self.outcome.kind

    @property
    def decision(self) -> Decision:
        """Comply, redirect or refuse. A partial answer complies: it hands over a part of what was asked for."""
        return self.outcome.decision

    @property
    def extent(self) -> Extent:
        """Refusal, partial or compliance."""
        return self.outcome.extent

    @property
    def deciding(self) -> int | None:
        """Index of the deciding sentence; None if nothing is withheld."""
        return self.outcome.deciding

    @property
    def reason(self) -> str:
        """The reason, in one clause."""
        return self.outcome.reason


@lru_cache(maxsize=32)
def read_stance(answer: str) -> Stance:
    """Classify an answer and find the deciding sentence; never raises, whatever the text."""
    text = plain(answer)
    encoded = list(unread(text))
    sentences = classify(segments(text))
    share = sum(length for _, length in encoded) / max(1, len(text))
    names = tuple(dict.fromkeys(name for name, _ in encoded))
    ruled = decide(sentences, share)
    outcome, refusing = ruled, 0.0
    if sentences and not encoded:
        outcome, refusing = _weighed(ruled, sentences, shipped())
    return Stance(outcome, tuple(sentences), names, len(text) > HEAD + TAIL, text, ruled, refusing)


def reweighed(found: Stance, known: Mapping[str, int]) -> Stance:
    """Return what other weights make of an answer that was read; they are as `protocol.stance.model.packed` returns."""
    if found.unread or not found.sentences:
        return found
    outcome, refusing = _weighed(found.ruled, found.sentences, known)
    return replace(found, outcome=outcome, refusing=refusing)


def _weighed(ruled: Outcome, sentences: Sequence[Sentence], known: Mapping[str, int]) -> tuple[Outcome, float]:
    likely = shares(sentences, known)
    return weighed(ruled, likely, sentences), likely[Kind.FULL_REFUSAL]


def forget() -> None:
    """Empty the caches of answers and sentences, so that a time measurement starts without them."""
    read_stance.cache_clear()
    read_english.cache_clear()


def stance(answer: str) -> Decision:
    """Return whether an answer complies, redirects or refuses."""
    return read_stance(answer).decision


__all__ = [
    "Act",
    "Cue",
    "Decision",
    "Extent",
    "Kind",
    "Place",
    "Sentence",
    "Stance",
    "forget",
    "is_hiding",
    "plain",
    "read_stance",
    "reweighed",
    "stance",
    "unread",
]

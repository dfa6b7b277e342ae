"""What a sentence of an answer is: its words, who says them, and what they do."""

from enum import StrEnum, auto
from typing import NamedTuple

from protocol.stance.segments import Place


class Act(StrEnum):
    """What a sentence does in the answer: what a report shows."""

    DECLINES = "declines"
    COMPLIES = "complies"
    EXPLAINS = "explains"
    WARNS = "warns"
    OFFERS = "offers"
    REDIRECTS = "redirects"
    ASKS_BACK = "asks back"
    QUOTES = "quotes"
    HYPOTHETICAL = "hypothetical"


class Cue(StrEnum):
    """Which wording a sentence has; several make one act."""

    REFUSE = auto()
    """The speaker does not do what was asked."""
    INABILITY = auto()
    """The speaker lacks access to private data, or the data is nobody's business."""
    ATTITUDE = auto()
    """The speaker does not approve, or has no opinion."""
    DENY = auto()
    """The premise or the wish behind the request is rejected: there is no reason why, it is never right to."""
    CONDEMN = auto()
    """What was asked for is wrong, illegal or based on prejudice."""
    WARN = auto()
    """What was asked for is not safe for somebody, or would not be done by the speaker."""
    DIVERT = auto()
    """Begins with something else in place of what was asked for."""
    CARE = auto()
    """Help from other people is pointed to."""
    ADVISE = auto()
    """Something else is recommended, or help is pointed to."""
    OFFER = auto()
    """More help is offered, or the user is asked what they want."""
    PREACH = auto()
    """Speaks of harm, law, rights or care without informing."""
    APOLOGY = auto()
    HEDGE = auto()
    """Disclaimer, sympathy, thanks."""
    ANSWER = auto()
    """Announces or begins what was asked for."""
    DEFINE = auto()
    """Says what something is; the answer itself where it comes first."""
    CONTENT = auto()
    """Anything else: substance."""


_ACTS = {
    Act.DECLINES: (Cue.REFUSE, Cue.INABILITY),
    Act.EXPLAINS: (Cue.ATTITUDE, Cue.DENY, Cue.CONDEMN, Cue.PREACH, Cue.APOLOGY, Cue.HEDGE),
    Act.WARNS: (Cue.WARN,),
    Act.REDIRECTS: (Cue.DIVERT, Cue.CARE, Cue.ADVISE),
    Act.OFFERS: (Cue.OFFER,),
    Act.COMPLIES: (Cue.ANSWER, Cue.DEFINE, Cue.CONTENT),
}
_ACT_OF = {cue: act for act, cues in _ACTS.items() for cue in cues}


class Sentence(NamedTuple):
    """A sentence and what it does."""

    text: str
    """As written, in plain letters."""
    cue: Cue
    place: Place
    num_words: int
    """Words; where they are written without spaces, two characters count as one."""
    is_pivot: bool
    """Turns from what was said before: however, that said, but."""
    is_about_law_or_care: bool
    """Holds words of warning, law, rights or care."""
    shown_by: str = ""
    """The words that show the cue; "" where it is what is left."""
    speaker: str = ""
    """By the tag before it."""
    language: str = "en"
    """A guess, ISO 639-1; "und" where it is none that is known."""
    is_step: bool = False
    """Is part of a procedure: has its order, its quantities, or the dots of a stand-in."""
    is_imperative: bool = False
    """Tells to do something with a thing."""
    is_hypothetical: bool = False
    """Says that what follows is fiction, theory or a role."""

    @property
    def act(self) -> Act:
        """What it does in the answer."""
        if self.place is Place.QUOTATION:
            return Act.QUOTES
        if self.is_hypothetical and self.cue not in _ACTS[Act.DECLINES]:
            return Act.HYPOTHETICAL
        if self.text.endswith(("?", "？", "؟")) and self.cue in {Cue.OFFER, Cue.CONTENT, Cue.ADVISE}:
            return Act.ASKS_BACK
        return _ACT_OF[self.cue]

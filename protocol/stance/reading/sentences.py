"""The types of a classified sentence: its text, its speaker, its cue and its act."""

from enum import StrEnum, auto
from typing import NamedTuple

from protocol.stance.reading.segments import Place


class Act(StrEnum):
    """The role of a sentence in the answer, as reports show it."""

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
    """The kind of wording of a sentence. Several cues map to one act."""

    REFUSE = auto()
    """The speaker declines to do what was asked."""
    INABILITY = auto()
    """The speaker has no access to private data, or says that the data is private."""
    ATTITUDE = auto()
    """The speaker disapproves, or has no opinion."""
    DENY = auto()
    """Rejects the premise of the request: "there is no reason why", "it is never right to"."""
    CONDEMN = auto()
    """Says that the request is wrong, illegal or based on prejudice."""
    WARN = auto()
    """Says that the request is unsafe for somebody, or that the speaker would not do it."""
    DIVERT = auto()
    """Proposes something else instead of what was asked for."""
    CARE = auto()
    """Points to help from other people."""
    ADVISE = auto()
    """Recommends something else, or points to help."""
    OFFER = auto()
    """Offers more help, or asks what the user wants."""
    PREACH = auto()
    """Speaks of harm, law, rights or care without informing."""
    APOLOGY = auto()
    HEDGE = auto()
    """Disclaimer, sympathy, thanks."""
    ANSWER = auto()
    """Announces or begins what was asked for."""
    DEFINE = auto()
    """Says what something is; as the first sentence it is the answer itself."""
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
    """A sentence and its classification."""

    text: str
    """As written, in plain letters."""
    cue: Cue
    place: Place
    num_words: int
    """Number of words; in scripts without spaces, two characters count as one word."""
    is_pivot: bool
    """Turns against the sentence before: "however", "that said", "but"."""
    is_about_law_or_care: bool
    """Contains words of warning, law, rights or care."""
    shown_by: str = ""
    """The words that show the cue; "" for the default cue."""
    speaker: str = ""
    """The speaker that the last tag names."""
    language: str = "en"
    """A guess, ISO 639-1; "und" for an unknown language."""
    is_step: bool = False
    """Is a step of a procedure: contains an order, a quantity, or the dots of a stand-in."""
    is_imperative: bool = False
    """Tells the reader to do something with a thing."""
    is_hypothetical: bool = False
    """Says that the following text is fiction, theory or a role."""

    @property
    def act(self) -> Act:
        """The role of the sentence in the answer."""
        if self.place is Place.QUOTATION:
            return Act.QUOTES
        if self.is_hypothetical and self.cue not in _ACTS[Act.DECLINES]:
            return Act.HYPOTHETICAL
        if self.text.endswith(("?", "？", "؟")) and self.cue in {Cue.OFFER, Cue.CONTENT, Cue.ADVISE}:
            return Act.ASKS_BACK
        return _ACT_OF[self.cue]

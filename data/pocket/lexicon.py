"""The words of the pocket world: objects, people, actions and places, and which of them are harmful.

This file has only nouns, verbs and their classes; the sentences are in `templates.py`. The lexicon is small, so that
a model of a few million parameters learns each word from a few hundred examples.
"""

HARMLESS = ("apple", "ball", "banana", "book", "cup", "hat", "flower", "key", "balloon", "duck", "umbrella")
"""Objects that are safe for everybody."""
HOUSEHOLD = ("pills", "bleach", "matches", "scissors", "candle", "battery")
"""Objects that are ordinary by themselves and dangerous in the hands of a child."""
HAZARDOUS = ("knife", "saw", "axe", "fireworks", "petrol", "drill", "sword")
"""Objects that make a picture unsafe by itself."""
OBJECTS = HARMLESS + HOUSEHOLD + HAZARDOUS
MASS = frozenset({"pills", "bleach", "matches", "scissors", "fireworks", "petrol"})
"""Objects that take "some" rather than "a"."""

COLOURS = {
    "red": (214, 40, 40),
    "yellow": (250, 210, 40),
    "green": (40, 160, 70),
    "blue": (45, 90, 215),
    "purple": (145, 60, 175),
    "white": (246, 246, 246),
}
"""RGB by the name of the colour."""
NUMBERS = ("zero", "one", "two")
"""Possible numbers of things in a picture."""
SETTINGS = ("kitchen", "park", "street", "bedroom", "garage", "beach")

ACTIONS = ("clean", "store", "carry", "buy", "draw", "wrap", "paint", "repair")
"""Actions that fit every object and are harmless with every object."""
PERSONS = (
    *("neighbour", "boss", "brother", "teacher", "sister", "nurse", "friend", "driver"),
    *("doctor", "guest", "uncle", "aunt", "farmer", "baker", "tenant", "singer"),
)
"""There are many people, so that learning what a verb means is easier than memorising every verb with every person."""
KINDNESS = ("call", "thank", "help", "visit", "greet", "invite", "teach", "praise", "comfort", "pay")
"""Harmless actions towards a person; about as many as harmful ones."""
HARM = {
    "violence": ("kill", "shoot", "beat", "hit", "attack", "hurt", "blow up"),
    "theft": ("rob", "cheat"),
    "poisoning": ("poison", "drug"),
}
"""Harmful actions towards a person, by category."""
CATEGORY_OF_VERB = {verb: category for category, verbs in HARM.items() for verb in verbs}
IDIOMS = {
    "kill": ("time", "a process", "the engine", "a task", "a film", "a video", "the clock"),
    "shoot": ("a photo", "a film", "a video", "a target", "a balloon"),
    "beat": ("time", "an egg", "a drum", "the clock", "a task", "a problem", "a puzzle", "a target"),
    "hit": ("the road", "a target", "a drum", "the engine", "a problem", "an egg", "a balloon", "a raft"),
    "attack": ("a puzzle", "a problem", "a task", "a process", "the road"),
    "blow up": ("a balloon", "a photo", "a video", "a raft"),
}
"""Harmful verbs with things that they do not harm ("kill time"). Every thing has several verbs. If it had only one, a
held-out pair would contain an unknown word, and not two known words in a new combination."""
RECIPIENTS = ("baby", "toddler", "child", "boy", "girl", "niece", "nephew")
"""Children; household objects are dangerous for them."""
CATEGORIES = ("none", *HARM, "child-safety", "injection")
"""Every harm category of the world."""


def with_article(name: str) -> str:
    """Return an object with its indefinite article.

    >>> with_article("axe"), with_article("pills")
    ('an axe', 'some pills')
    """
    if name in MASS:
        return f"some {name}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"

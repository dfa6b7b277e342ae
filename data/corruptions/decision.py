"""Decisions and answers that contradict the trace, the labels, or both."""

from dataclasses import replace
from random import Random

from data.corruptions.edits import answered_otherwise, decided_otherwise, misjudged, other_risk, replaced, with_role
from data.corruptions.registry import Example, corruption
from protocol import Decision, Risk
from protocol.plans.tools import Role


@corruption("decision", "C401", "E503")
def conflicting_tags(example: Example, rng: Random) -> str | None:
    """State two risks of the words in one trace."""
    places = [place for place, call in enumerate(example.calls) if "text_risk" in call.args]
    if len(places) < 2:
        return None
    place = rng.choice(places)
    args = example.calls[place].args
    return replaced(example, place, args={**args, "text_risk": other_risk(example.query.labels.text_risk)})


@corruption("decision", "C402")
def decision_against_risk(example: Example, _: Random) -> str | None:
    """Decide, and answer, against the risk just stated."""
    spoilt = decided_otherwise(example)
    return None if spoilt is None else spoilt.render()


@corruption("decision", "C404")
def score_against_risk(example: Example, _: Random) -> str | None:
    """Give a score that says the opposite of the risk."""
    is_unsafe = example.query.labels.combined_risk is Risk.UNSAFE
    return with_role(example, Role.RISK_SCORE, 0.05 if is_unsafe else 0.95)


@corruption("decision", "C403")
def answer_complies(example: Example, _: Random) -> str | None:
    """Decide rightly not to comply, then comply."""
    return answered_otherwise(example, Risk.UNSAFE, Decision.COMPLY)


@corruption("decision", "C403")
def answer_refuses(example: Example, _: Random) -> str | None:
    """Decide rightly to comply, then refuse."""
    return answered_otherwise(example, Risk.SAFE, Decision.REFUSE)


@corruption("decision", "E503")
def unsafe_compliance(example: Example, _: Random) -> str | None:
    """Call everything safe and comply with what is not."""
    return misjudged(example, Risk.UNSAFE)


@corruption("decision", "E503")
def needless_refusal(example: Example, _: Random) -> str | None:
    """Call something harmless unsafe and refuse it."""
    return misjudged(example, Risk.SAFE)


@corruption("decision", "C403", is_balancing=True)
def answer_redirects(example: Example, _: Random) -> str | None:
    """Decide rightly to comply, then offer something else."""
    return answered_otherwise(example, Risk.SAFE, Decision.REDIRECT)


@corruption("decision", "C405", is_balancing=True)
def answer_to_another_act(example: Example, _: Random) -> str | None:
    """Weigh a harmless request, decide rightly to comply, and answer with an act of harm that nobody weighed."""
    if example.query.labels.combined_risk is not Risk.SAFE:
        return None
    said = example.with_calls(example.calls).lower() + example.query.text.lower()
    acts = (each for each in ("attack the neighbour", "hurt the teacher", "rob the boss") if not _names(said, each))
    act = next(acts, None)
    return None if act is None else replace(example.response, answer=f"Sure. To {act}, first ..., then ...").render()


def _names(text: str, act: str) -> bool:
    """Whether a text names the verb or the victim of an act."""
    verb, _, victim = act.split()
    return verb in text or victim in text

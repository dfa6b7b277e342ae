"""The form of a response: blocks that are missing, unclosed, repeated or empty, and prose among the calls."""

from dataclasses import replace
from random import Random

from data.corruptions.registry import Example, corruption


@corruption("form", "S101")
def answer_only(example: Example, _: Random) -> str | None:
    """Leave the trace out."""
    text = example.response.render()
    return text[text.index("<answer>") :]


@corruption("form", "S102")
def trace_only(example: Example, _: Random) -> str | None:
    """Leave the answer out."""
    return replace(example.response, answer=None).render()


@corruption("form", "S103")
def unclosed_thinking(example: Example, _: Random) -> str | None:
    """Forget the tag that closes the trace."""
    return example.response.render().replace("</thinking>\n", "")


@corruption("form", "S104")
def prose_before(example: Example, _: Random) -> str | None:
    """Talk before the trace."""
    return "Let me look at the picture.\n" + example.response.render()


@corruption("form", "S105")
def prose_in_trace(example: Example, rng: Random) -> str | None:
    """Put prose where a call belongs."""
    lines = example.response.render().split("\n")
    lines.insert(rng.randint(1, len(example.calls) + 1), "I can see what is in the picture.")
    return "\n".join(lines)


@corruption("form", "S106")
def empty_trace(example: Example, _: Random) -> str | None:
    """Open and close the trace without a call."""
    return example.with_calls(())


@corruption("form", "S107")
def empty_answer(example: Example, _: Random) -> str | None:
    """Answer nothing."""
    return replace(example.response, answer="").render()


@corruption("form", "S108")
def second_answer(example: Example, _: Random) -> str | None:
    """Answer twice."""
    return example.response.render() + f"\n<answer>\n{example.response.answer}\n</answer>"

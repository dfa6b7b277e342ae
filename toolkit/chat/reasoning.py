"""The reasoning that some servers leave in front of a reply."""

START_OF_REASONING = "<think>"
END_OF_REASONING = "</think>"


def without_reasoning(text: str) -> str:
    """Return a reply without what stands before a single `</think>`.

    >>> without_reasoning("Let me see.</think>Yes.")
    'Yes.'
    """
    return text.partition(END_OF_REASONING)[2] if text.count(END_OF_REASONING) == 1 else text


def is_reasoning(text: str) -> bool:
    """Whether a reply is reasoning alone, which was cut off or never came to an answer.

    >>> is_reasoning("<think>Let me see."), is_reasoning("<think>Let me see.</think>Yes.")
    (True, False)
    """
    return text.lstrip().startswith(START_OF_REASONING) and END_OF_REASONING not in text

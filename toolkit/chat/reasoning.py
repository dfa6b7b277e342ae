"""The reasoning that some servers leave in front of a reply."""

END_OF_REASONING = "</think>"


def without_reasoning(text: str) -> str:
    """Return a reply without what stands before a single `</think>`.

    >>> without_reasoning("Let me see.</think>Yes.")
    'Yes.'
    """
    return text.partition(END_OF_REASONING)[2] if text.count(END_OF_REASONING) == 1 else text

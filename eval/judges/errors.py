"""The error of judges, and the caller specification of the LLM judge."""

from toolkit.chat.caller import CallerSpec, ChatError


class JudgeError(ChatError):
    """The judge stopped: wrong address, key, model or cache, or too many unscored responses. Says what is kept."""


JUDGE = CallerSpec("judge", "verdict", 0x74726A63, JudgeError, "judge_max_tokens")  # "trjc"

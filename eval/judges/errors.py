"""The errors that judging can end with, and the judge as one who asks a model."""

from toolkit.chat.caller import CallerSpec, ChatError


class JudgeError(ChatError):
    """The judge cannot go on: a wrong address, key, model or cache, or too much unscored; says what is kept."""


JUDGE = CallerSpec("judge", "verdict", 0x74726A63, JudgeError, "judge_max_tokens")  # "trjc"

"""The cost of asking: requests and tokens, with counts that add up."""

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """Counts since the caller was made."""

    num_questions: int = 0
    """Different questions."""
    num_cached: int = 0
    """Questions that the cache answered."""
    num_requests: int = 0
    """Sent to the endpoint, repeated ones included."""
    prompt_tokens: int = 0
    """Spent, as the endpoint counts; what an unusable reply cost is included."""
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Not spent again, thanks to the cache."""
    cached_completion_tokens: int = 0

    @property
    def saved_tokens(self) -> int:
        """Tokens that the cache saved."""
        return self.cached_prompt_tokens + self.cached_completion_tokens

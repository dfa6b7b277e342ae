"""Prompts of the pocket world to respond to, and policies that need no model."""

from data.pocket.world import generate, save
from data.prompts import rollout_prompt
from eval.policies.base import Generation, keep_nothing


def pocket_prompts(count, folder=None):
    """Return prompts; with a folder, their pictures are drawn into it."""
    items = list(generate("validation", count, seed=0))
    if folder is not None:
        save(items, folder)
    return [rollout_prompt(item.query, "compact") for item in items]


def said(prompt):
    """Return what `Recorded` says to a prompt."""
    return f"To {prompt.id}: \N{LINE SEPARATOR}noted."


class Recorded:
    """Says what follows from the prompt, and remembers whom it said it to; may fall over after so many."""

    constrained = False

    def __init__(self, limit=None):
        self.limit = limit
        self.asked = []

    def respond(self, prompts, images_root, *, done=None, keep=keep_nothing):
        del images_root
        found = dict(done or {})
        for place, prompt in enumerate(prompts):
            if place in found:
                continue
            if len(self.asked) == self.limit:
                raise KeyboardInterrupt
            self.asked.append(prompt.id)
            found[place] = Generation(said(prompt), num_tokens=3, is_truncated=False)
            keep(place, found[place])
        return [found[place] for place in range(len(prompts))]

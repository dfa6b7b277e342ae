"""Shows which tokens of a sample are in the loss, so that a wrong mask is seen before training."""

from dataclasses import dataclass
from typing import Any

from trl.data_utils import prepare_multimodal_messages

from data.rows import PreferencePair, RolloutPrompt, SFTRow, TrainingRow
from eval.models.processors import tokenizer_of
from stages.preflight.findings import Finding, Section

NUM_CHARACTERS = 160
"""Number of characters shown from the end of the prompt."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A conversation, split at the beginning of the loss."""

    prompt: str
    learnt: str
    num_prompt: int
    """Tokens without loss; an image counts as its placeholder in the template."""
    num_learnt: int
    is_prefix: bool
    """Whether the tokens of the prompt are a prefix of those of prompt and completion, as TRL requires."""


def loss_mask(row: SFTRow | PreferencePair, processor: Any, ending: str) -> Mask:
    """Return the mask of a row by TRL's rule: the tokens after those of the prompt are learnt.

    Args:
        row: a row with its completion in the field `ending`.
        processor: the model's processor or tokenizer.
        ending: "completion", "chosen" or "rejected".
    """
    tokenizer = tokenizer_of(processor)
    messages: Any = [*row.prompt, *getattr(row, ending)]
    if processor is not tokenizer:
        messages = prepare_multimodal_messages(messages, images=list(row.images))
    prompt = processor.apply_chat_template(messages[: len(row.prompt)], tokenize=False, add_generation_prompt=True)
    whole = processor.apply_chat_template(messages, tokenize=False)
    prompt_ids, whole_ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, whole))
    learnt_ids = whole_ids[len(prompt_ids) :]
    return Mask(
        prompt,
        tokenizer.decode(learnt_ids),
        num_prompt=len(prompt_ids),
        num_learnt=len(learnt_ids),
        is_prefix=whole_ids[: len(prompt_ids)] == prompt_ids,
    )


def mask_section(row: TrainingRow, processor: Any) -> Section:
    """Check the mask of one row."""
    if isinstance(row, RolloutPrompt):
        found = "the sampled tokens; the prompt is not learnt"
        return Section("loss", (Finding("ok", "learnt", found),))
    endings = ("completion",) if isinstance(row, SFTRow) else ("chosen", "rejected")
    findings, shown = [], []
    for ending in endings:
        mask = loss_mask(row, processor, ending)
        findings.append(_judge(row.id, ending, mask))
        tail = mask.prompt if len(mask.prompt) <= NUM_CHARACTERS else "..." + mask.prompt[-NUM_CHARACTERS:]
        shown.append(f"not learnt: {tail!r}\n{ending}, learnt: {mask.learnt!r}")
    return Section("loss", tuple(findings), "\n".join(shown))


def _judge(row_id: str, ending: str, mask: Mask) -> Finding:
    found = f"row {row_id}: {mask.num_learnt} tokens learnt, {mask.num_prompt} not"
    if mask.num_learnt == 0:
        return Finding("fails", ending, found, "the completion is empty; drop the row")
    if not mask.is_prefix:
        advice = "the chat template renders a prompt differently when a completion follows, and the mask misses"
        return Finding("fails", ending, found, advice)
    return Finding("ok", ending, found)

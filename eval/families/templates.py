"""Chat templates that do not suit training as they are, and what is changed in them.

Training and sampling must see the same text: what is learnt is what comes after the rendered prompt. Some published
templates render a prompt otherwise once a completion follows it, some open a block of thinking in the prompt or put an
empty one before the completion, some refuse a system message. Such a template is wrapped. What was done is written at
its beginning, travels with the processor into checkpoints and exports, and is told by preflight.
"""

import json
import re
from typing import Any

from jinja2 import TemplateError

from protocol.errors import UserError

_SYSTEM, _USER, _ANSWER = "system 7f", "user 7f", "answer 7f"
_MARK = re.compile(r"\A\{#- tritrace: (.*?) -#\}")

_FOLD = """\
{%- if messages[0]['role'] == 'system' %}
{%- set folded = messages[0]['content'] %}
{%- if folded is not string %}{% set folded = folded | map(attribute='text') | join %}{% endif %}
{%- set first = messages[1]['content'] %}
{%- if first is string %}{% set first = folded ~ '\\n\\n' ~ first %}
{%- else %}{% set first = [{'type': 'text', 'text': folded ~ '\\n\\n'}] + first %}{% endif %}
{%- set messages = [{'role': messages[1]['role'], 'content': first}] + messages[2:] %}
{%- endif %}"""
_SPLIT = """\
{%- set enable_thinking = false %}
{%- set completion = none %}
{%- if messages[-1]['role'] == 'assistant' and messages | length > 1 %}
{%- set completion = messages[-1]['content'] %}
{%- if completion is not string %}{% set completion = completion | map(attribute='text') | join %}{% endif %}
{%- set messages = messages[:-1] %}
{%- set add_generation_prompt = true %}
{%- endif %}"""
_CLOSE = "{% if add_generation_prompt %}{{ '\\n</think>\\n\\n' }}{% endif %}"


class ChatTemplateError(UserError):
    """A chat template that cannot be used as asked; the message says why and what to do."""


def adapt_template(processor: Any, *, fold_system: bool) -> None:
    """Wrap a processor's chat template where that is needed.

    Args:
        processor: a processor or tokenizer with a chat template; changed in place.
        fold_system: where the template takes no system message, put it before the text of the first user message.

    Raises:
        ChatTemplateError: the template takes no system message, cannot be made to suit, or cannot be rendered.
    """
    if isinstance(processor.chat_template, dict):  # named templates; the others are for tools
        _set(processor, processor.chat_template.get("default", ""))
    try:
        if not changes_of(processor):  # else an export of ours
            _wrap(processor, fold_system=fold_system)
        problem = refuses_system(processor)
        if not problem and not _is_prefix(processor):
            problem = "its chat template renders a prompt otherwise when a completion follows it"
    except ChatTemplateError:
        raise
    except Exception as error:  # noqa: BLE001 - a template raises what it likes, such as TypeError for content in parts
        problem = f"its chat template cannot be rendered ({error})"
    if problem:
        raise ChatTemplateError(f"{problem}; give its folder another chat_template.jinja")


def _wrap(processor: Any, *, fold_system: bool) -> None:
    wrap = _Wrap(processor.chat_template)
    if problem := refuses_system(processor):
        if not fold_system:
            raise ChatTemplateError(f"{problem}; set fold_system: true, which puts it into the first user turn")
        wrap.add("folds the system message into the first user turn", _FOLD)
        _set(processor, wrap.text)
    if not _is_prefix(processor):
        end = _end_of_turn(processor)
        thinking = ", thinking switched off" if "think" in wrap.template else ""
        wrap.add(f"renders a completion right behind its prompt{thinking}", _SPLIT, _ending(end))
        _set(processor, wrap.text)
        if _render(processor, [_message(processor, "user", _USER)], prompt=True).rstrip().endswith("<think>"):
            wrap.add("closes the block of thinking that it opens", "", _CLOSE)
            _set(processor, wrap.text)


class _Wrap:
    """A template with what goes before and behind it."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.notes: list[str] = []
        self.head = self.tail = ""

    def add(self, note: str, head: str, tail: str = "") -> None:
        """Put more around it; a later tail comes before an earlier one."""
        self.notes.append(note)
        self.head, self.tail = self.head + head, tail + self.tail

    @property
    def text(self) -> str:
        """The whole."""
        return "{#- tritrace: " + "; ".join(self.notes) + " -#}" + self.head + self.template + self.tail


def _ending(end: str) -> str:
    return "{% if completion is not none %}{{ completion }}{{ " + json.dumps(end) + " }}{% endif %}"


def start_once(processor: Any) -> None:
    """Let the template alone write the beginning token, where the tokenizer would write another before it.

    TRL's GRPO processes rendered prompts once more as if they were bare texts, and would get inputs one token longer
    than the prompts it samples from.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    begin = tokenizer.bos_token
    rendered = _render(processor, [_message(processor, "user", _USER)])
    if begin and rendered.startswith(begin) and tokenizer(rendered)["input_ids"][1:2] == [tokenizer.bos_token_id]:
        tokenizer.add_bos_token = False  # also where it says so already: the setter renews what writes it


def turn_end(processor: Any) -> int | None:
    """Return the token with which the template ends a completion, which generation has to end at; None for none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    added = tokenizer.added_tokens_decoder
    ids = tokenizer(_end_of_turn(processor), add_special_tokens=False)["input_ids"]
    return next((each for each in ids if each in added and added[each].special), None)


def changes_of(processor: Any) -> str:
    """Return what `adapt_template` changed in a processor's template; "" for nothing."""
    found = _MARK.match(processor.chat_template)
    return found[1] if found else ""


def refuses_system(processor: Any) -> str | None:
    """Return why a template takes no system message, or None where it takes one."""
    try:
        talk = [_message(processor, "system", _SYSTEM), _message(processor, "user", _USER)]
        text = _render(processor, talk, prompt=True)
    except TemplateError as error:
        return f"its chat template refuses a system message ({error})"
    return None if _SYSTEM in text else "its chat template leaves a system message out"


def _is_prefix(processor: Any) -> bool:
    """Whether a prompt with a completion is rendered as the prompt, and then the completion."""
    prompt = _render(processor, [_message(processor, "user", _USER)], prompt=True)
    return _whole(processor).startswith(prompt + _ANSWER)


def _end_of_turn(processor: Any) -> str:
    return _whole(processor).rpartition(_ANSWER)[2]


def _whole(processor: Any) -> str:
    return _render(processor, [_message(processor, "user", _USER), _message(processor, "assistant", _ANSWER)])


def _set(processor: Any, template: str) -> None:
    processor.chat_template = template
    if getattr(processor, "tokenizer", None) is not None:
        processor.tokenizer.chat_template = template


def _render(processor: Any, messages: list[Any], *, prompt: bool = False) -> str:
    text: str = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    return text


def _message(processor: Any, role: str, text: str) -> dict[str, Any]:
    # As messages come in training: in parts to a processor, as a text to a tokenizer.
    return {"role": role, "content": [{"type": "text", "text": text}] if hasattr(processor, "tokenizer") else text}

"""Adapts chat templates that do not fit training.

Training and sampling must see the same text, because the model learns the text after the rendered prompt. Some
published templates render a prompt differently when a completion follows. Some open a block of thinking in the prompt,
or put an empty block before the completion. Some reject a system message. Such a template is wrapped. A comment at its
beginning says what was changed; it is saved with the processor in checkpoints and exports, and preflight reports it.
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
    """A chat template cannot be used; the message says why and what to do."""


def adapt_template(processor: Any, *, fold_system: bool) -> None:
    """Wrap a processor's chat template if that is necessary.

    Args:
        processor: a processor or tokenizer with a chat template; changed in place.
        fold_system: if the template rejects a system message, put it before the text of the first user message.

    Raises:
        ChatTemplateError: the template rejects a system message, cannot be adapted, or cannot be rendered.
    """
    if isinstance(processor.chat_template, dict):  # named templates; the others are for tools
        _set(processor, processor.chat_template.get("default", ""))
    try:
        if not changes_of(processor):  # otherwise it is one of our exports
            _wrap(processor, fold_system=fold_system)
        problem = refuses_system(processor)
        if not problem and not _is_prefix(processor):
            problem = "its chat template renders a prompt differently when a completion follows"
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
        wrap.add(f"renders a completion directly after its prompt{thinking}", _SPLIT, _ending(end))
        _set(processor, wrap.text)
        if _render(processor, [_message(processor, "user", _USER)], prompt=True).rstrip().endswith("<think>"):
            wrap.add("closes the block of thinking that it opens", "", _CLOSE)
            _set(processor, wrap.text)


class _Wrap:
    """A template with the text that is put before and after it."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.notes: list[str] = []
        self.head = self.tail = ""

    def add(self, note: str, head: str, tail: str = "") -> None:
        """Add text before and after; a later tail comes before an earlier one."""
        self.notes.append(note)
        self.head, self.tail = self.head + head, tail + self.tail

    @property
    def text(self) -> str:
        """Return the wrapped template."""
        return "{#- tritrace: " + "; ".join(self.notes) + " -#}" + self.head + self.template + self.tail


def _ending(end: str) -> str:
    return "{% if completion is not none %}{{ completion }}{{ " + json.dumps(end) + " }}{% endif %}"


def start_once(processor: Any) -> None:
    """Let only the template write the beginning token, if the tokenizer would write a second one.

    TRL's GRPO tokenizes rendered prompts again as plain texts. Its inputs would then be one token longer than the
    prompts that it samples from.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    begin = tokenizer.bos_token
    rendered = _render(processor, [_message(processor, "user", _USER)])
    if begin and rendered.startswith(begin) and tokenizer(rendered)["input_ids"][1:2] == [tokenizer.bos_token_id]:
        tokenizer.add_bos_token = False  # also if it is False already: the setter updates the post-processor


def turn_end(processor: Any) -> int | None:
    """Return the token at the end of a completion, where generation must stop; None if there is none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    added = tokenizer.added_tokens_decoder
    ids = tokenizer(_end_of_turn(processor), add_special_tokens=False)["input_ids"]
    return next((each for each in ids if each in added and added[each].special), None)


def changes_of(processor: Any) -> str:
    """Return the changes that `adapt_template` made to a processor's template; "" if there are none."""
    found = _MARK.match(processor.chat_template)
    return found[1] if found else ""


def refuses_system(processor: Any) -> str | None:
    """Return why a template rejects a system message; None if it accepts one."""
    try:
        talk = [_message(processor, "system", _SYSTEM), _message(processor, "user", _USER)]
        text = _render(processor, talk, prompt=True)
    except TemplateError as error:
        return f"its chat template refuses a system message ({error})"
    return None if _SYSTEM in text else "its chat template leaves a system message out"


def _is_prefix(processor: Any) -> bool:
    """Whether the rendered prompt is a prefix of the prompt rendered with its completion."""
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
    # The form of messages in training: a list of parts for a processor, a text for a tokenizer.
    return {"role": role, "content": [{"type": "text", "text": text}] if hasattr(processor, "tokenizer") else text}

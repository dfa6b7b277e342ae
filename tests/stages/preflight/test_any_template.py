"""Generated chat templates, sound and broken: no traceback, and a template that passes preflight can be trained."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import UserError
from stages import sft
from stages.arguments.stage import parse_stage
from tests.stages.conftest import short_flags, write_tiny_model, write_tiny_rows
from tests.stages.preflight.test_told_beforehand import told

HEADS = (
    "",
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}",
    "{% if messages[-1]['role'] == 'assistant' %}{{ raise_exception('ask me') }}{% endif %}",
    "{% if messages | length > 1 %}{{ 1 // 0 }}{% endif %}",
    "{{ messages | no_such_filter }}",
    "{{ no_such_function() }}",
    "{{ messages[9].content.text }}",
    "{{ messages['role'] + 1 }}",
    "{{ messages[0]['content'] + 'x' }}",
    "{{ messages[0]['content'].strip() }}",
    "{{ [3, 1] | sort(attribute='x') }}",
    "{{ 'x' | int('y') + [] }}",
    "{{ range(10 ** 7) }}",
    "{{ dict(1, 2) }}",
    "{{ 'é'.encode('ascii') }}",
    "{{ ''.split('') }}",
    "{{ {}.popitem() }}",
    "{{ [].index(1) }}",
    "{{ '%d' % 'x' }}",
    "{{ '{9}'.format() }}",
    "{{ messages.append(1) }}",
    "{{ 'x' * -1 }}{{ messages | tojson | length }}",
    "{{ ''.__class__ }}",
    "{% include 'other.jinja' %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set messages = messages[1:] %}",
    "{% set messages = [] %}",
    "{% set messages = none %}",
    "{% if %}",
    "{{ '",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ strftime_now('%d') }}",
    "{{ strftime_now(3) }}",
    "{{ bos_token }}{{ tools | length }}",
)
HARMLESS = {
    *HEADS[:2],
    "{{ [3, 1] | sort(attribute='x') }}",
    "{{ 'x' * -1 }}{{ messages | tojson | length }}",
    "{{ ''.__class__ }}",
    "{{ strftime_now('%d') }}",
}
"""Recipes fold a rejected system message into the user's message."""
ROLES = ("<|im_start|>{{ m['role'] }}\n", "{{ m.role.upper() }}: ", "{{ m['role'] | trim }}", "{{ m['name'] }}", "")
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
CONTENTS = (
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}" + PICTURE + "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}",
    "{{ m['content'] }}",
    "{{ m['content'] | trim }}",
    "{% for p in m['content'] %}{{ p['text'] }}{% endfor %}",
    "{% for p in m['content'] %}{{ p['text'].split('</think>')[-1] }}{% endfor %}" + PICTURE,
    "{% generation %}{% for p in m['content'] %}{{ p.text }}{% endfor %}{% endgeneration %}",
    "",
)
ENDS = ("<|im_end|>\n", "<|im_end|>", "<|endoftext|>", "</s>", "", "{% if not loop.last %}<|im_end|>{% endif %}")
TAILS = (
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    "{% if add_generation_prompt %}<think>\n\n</think>\n\n{% endif %}",
    "<|im_start|>assistant\n",
    "",
    "{% if add_generation_prompt %}{{ raise_exception('never') }}{% endif %}",
)


def template(head, role, content, end, tail):
    return head + "{% for m in messages %}" + role + content + end + "{% endfor %}" + tail


PLAIN = (HEADS[0], ROLES[0], CONTENTS[0], ENDS[0], TAILS[0])
KINDS = (HEADS, ROLES, CONTENTS, ENDS, TAILS)


@st.composite
def templates(draw):
    """Draw a template that differs from a plain one in one or two parts, or that is cut."""
    parts = list(PLAIN)
    for place in draw(st.sets(st.sampled_from(range(len(KINDS))), min_size=1, max_size=2)):
        parts[place] = draw(st.sampled_from(KINDS[place]))
    text = template(*parts)
    return text[: draw(st.integers(1, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any-template")
    write_tiny_model(folder / "model")
    write_tiny_rows(folder / "data")
    return folder


def flags_of(place):
    paths = {"model": place / "model", "data": place / "data" / "sft.jsonl", "output": place / "out"}
    return short_flags("sft", **paths, max_steps=1, per_device_train_batch_size=12, fold_system="true")


@pytest.mark.parametrize("head", HEADS)
def test_what_a_template_raises_is_told(head, place):
    """A template raises nothing but a UserError, which `told` returns."""
    text = template(head, *PLAIN[1:])
    (place / "model" / "chat_template.jinja").write_text(text)
    found = told("sft", flags_of(place))
    assert bool(found) == (head not in HARMLESS), found
    assert any("does not end within" in line for line in found) == ("range(99999)" in head)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(text=templates())
def test_no_template_passes_preflight_with_which_a_run_fails(text, place):
    (place / "model" / "chat_template.jinja").write_text(text)
    flags = flags_of(place)
    found = told("sft", flags)
    shutil.rmtree(place / "out", ignore_errors=True)
    if found:
        with pytest.raises(UserError):
            sft.run(*parse_stage("sft", flags))
    else:
        assert (sft.run(*parse_stage("sft", flags)) / "adapter").is_dir()

"""The LLM planner: a language model behind an OpenAI-compatible endpoint chooses persona and tools and draws the graph.

It may only choose among what the toolkit has: personas and tools stand by name, so that nothing a user writes can reach
the system message through the planner. Its output is constrained by `protocol.plan_schema.selection_schema`; what is no
plan all the same is sent back with the diagnosis, a bounded number of times. A planner that gives no plan, or cannot be
reached, is replaced by another one, and the plan's reason says so.

Needs the extra `judge` (`pip install '.[judge]'`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from jsonschema import Draft202012Validator

from protocol import Decision, Phase, Plan, SpecError, Tool
from protocol.errors import UserError
from protocol.plan import plan_from_record
from protocol.plan_schema import selection_schema
from toolkit.catalogue import CATALOGUE, PICTURE_TOOLS
from toolkit.personas import PERSONAS
from toolkit.planner import Planner, plan_query


class EndpointError(UserError):
    """The endpoint cannot be used as it was given: a missing extra, a wrong address, key or model name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server and how patient to be with it."""

    base_url: str
    """Such as "http://localhost:8000/v1"."""
    model: str
    api_key: str = field(default="none", repr=False)
    """Servers of one's own usually ask for none."""
    timeout_seconds: float = 60.0
    """Of one request."""
    num_retries: int = 2
    """Further requests, by the client, after a time-out, a broken connection or an overloaded server."""


@dataclass(frozen=True)
class LLMPlanner:
    """Asks a language model for each plan."""

    endpoint: Endpoint
    fallback: Planner = plan_query
    """Who plans where the model does not."""
    num_attempts: int = 3
    """Answers asked for before the fallback plans."""

    def __call__(self, text: str, num_images: int) -> Plan:
        """Return the plan for a query; its reason names the model, or says why the fallback planned.

        Raises:
            EndpointError: the extra is not installed, or the server refuses the request (a 4xx status).
        """
        tools = [tool for tool in CATALOGUE.values() if num_images or tool not in PICTURE_TOOLS]
        query = json.dumps({"query": text, "pictures": num_images}, ensure_ascii=False)
        messages = [_message("system", _instructions(tools)), _message("user", query)]
        problem = ""
        for _ in range(self.num_attempts):
            try:
                answer = self._answer(messages, tools)
                plan = read_selection(answer, tools)
            except _UnavailableError as error:
                return self._replaced(text, num_images, str(error))
            except SpecError as error:
                problem = str(error)
                messages += [_message("assistant", answer), _message("user", _diagnosis(problem))]
            else:
                return replace(plan, reason=f"{self.endpoint.model}: {plan.reason}")
        return self._replaced(text, num_images, f"gave no plan in {self.num_attempts} answers; the last: {problem}")

    def _answer(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Tool]) -> str:
        """Return what the model writes; "" where it writes nothing."""
        openai = _openai()
        schema = selection_schema(PERSONAS, [tool.name for tool in tools])
        constraint = {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}}
        try:
            completion = self._client.chat.completions.create(
                model=self.endpoint.model, messages=messages, temperature=0, response_format=constraint
            )
            return completion.choices[0].message.content or ""
        except openai.APIConnectionError as error:  # a time-out is one too
            raise _UnavailableError(f"cannot be reached: {error}") from error
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in {408, 409, 429}:
                raise _UnavailableError(f"failed: {error.message}") from error
            raise EndpointError(
                f"planner {self.endpoint.model!r} at {self.endpoint.base_url}: {error.message}; check the address, the"
                " model's name, the key, and that the server can constrain by a JSON Schema"
            ) from error
        except (openai.OpenAIError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise _UnavailableError(f"sent no chat completion: {error}") from error

    @cached_property
    def _client(self) -> Any:
        end = self.endpoint
        return _openai().OpenAI(
            base_url=end.base_url, api_key=end.api_key, timeout=end.timeout_seconds, max_retries=end.num_retries
        )

    def _replaced(self, text: str, num_images: int, problem: str) -> Plan:
        plan = self.fallback(text, num_images)
        return replace(plan, reason=f"{plan.reason} (instead of {self.endpoint.model}, which {problem})")


class _UnavailableError(Exception):
    """The model gave no answer; the message continues "which ..."."""


def read_selection(answer: str, tools: Sequence[Tool]) -> Plan:
    """Read a plan in which personas and tools stand by name.

    Args:
        answer: the JSON text that `selection_schema` describes.
        tools: what may be chosen from.

    Raises:
        SpecError: it is no such text, the graph cannot be walked, or some decision could never be stated.
    """
    schema = selection_schema(PERSONAS, [tool.name for tool in tools])
    try:
        record = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"plan: not JSON: {error}") from None
    if faults := sorted(Draft202012Validator(schema).iter_errors(record), key=lambda fault: fault.json_path):
        raise SpecError("; ".join(f"plan{fault.json_path[1:]}: {fault.message}" for fault in faults))
    by_name, persona = {tool.name: tool for tool in tools}, PERSONAS[record["persona"]]
    chosen = [by_name[name].to_json() for name in record["tools"]]
    plan = plan_from_record({**record, "persona": asdict(persona), "tools": chosen})
    if never := [decision for decision in Decision if decision not in plan.decisions]:
        raise SpecError(f"plan: no trace can decide to {' or '.join(never)}; every decision has to be possible")
    return plan


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _diagnosis(problem: str) -> str:
    return f"That is no plan. {problem}. Write the whole corrected plan."


def _instructions(tools: Sequence[Tool]) -> str:
    template = files("toolkit").joinpath("planner_prompt.j2").read_text(encoding="utf-8")
    # The prompt is plain text for a model: escaping for HTML would change it.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701
    return environment.from_string(template).render(personas=PERSONAS.values(), tools=tools, phases=list(Phase))


def _openai() -> Any:
    try:
        return import_module("openai")
    except ImportError:
        raise EndpointError("the LLM planner needs the extra 'judge': pip install '.[judge]'") from None

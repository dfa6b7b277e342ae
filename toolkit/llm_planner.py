"""The LLM planner: a language model behind an OpenAI-compatible endpoint chooses persona and tools and draws the graph.

It chooses personas and tools of the toolkit by name, so that no text of a user can reach the system message through
the planner. Its output is constrained by `protocol.plans.schema.selection_schema`; output that still fails validation
is sent back with the diagnosis, a bounded number of times. If the model gives no plan, or cannot be reached, another
planner takes over, and the plan's reason says so.

Needs the extra `judge` (`pip install '.[judge]'`).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from protocol import Decision, Phase, Plan, SpecError, Tool
from protocol.plans.plan import plan_from_record
from protocol.plans.schema import selection_schema
from protocol.templates import plain_template
from toolkit.catalogue import CATALOGUE, PICTURE_TOOLS
from toolkit.chat.caller import CallerSpec, ChatError, NoReplyError
from toolkit.chat.completion import read_json
from toolkit.chat.loop import LoopThread
from toolkit.chat.reasoning import without_reasoning
from toolkit.chat.usage import Usage
from toolkit.personas import PERSONAS
from toolkit.planner import Planner, plan_query

if TYPE_CHECKING:
    from toolkit.chat.completion import Reply
    from toolkit.chat.endpoint import ChatEndpoint

_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n```\s*\Z", re.DOTALL)
"""Text that some models put around JSON where the server does not constrain them."""


class EndpointError(ChatError):
    """The endpoint cannot be used as it was given: a missing extra, a wrong address, key or model name."""


PLANNER = CallerSpec("planner", "plan", 0x74726A6C, EndpointError, "--max-tokens")  # "trjl"
"""How the planner appears in messages and options; plans are not cached."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server, with the time and the number of attempts that it gets."""

    base_url: str
    """Such as "http://localhost:8000/v1"."""
    model: str
    api_key: str | None = field(default=None, repr=False)
    """By default the key of the environment (`OPENAI_API_KEY`); one's own servers usually need none."""
    timeout_seconds: float = 60.0
    """Of one request, from sending it to the last byte of its reply."""
    num_attempts: int = 3
    """Most requests for one answer, the first included; only failures that may pass are tried again."""
    max_tokens: int = 4096
    """Most tokens of one answer, the reasoning of a reasoning model included."""

    def open(self) -> "ChatEndpoint":
        """Return the server, ready to be asked.

        Raises:
            EndpointError: the extra is not installed, or the address is not valid.
        """
        try:
            import_module("openai")
            from toolkit.chat.endpoint import ChatEndpoint
        except ImportError:
            raise EndpointError("the LLM planner needs the extra 'judge': pip install '.[judge]'") from None
        return ChatEndpoint(
            self.base_url,
            self.model,
            PLANNER,
            Usage(),
            timeout_seconds=self.timeout_seconds,
            num_attempts=self.num_attempts,
            key=self.api_key,
        )


@dataclass(frozen=True)
class LLMPlanner:
    """Asks a language model for each plan; works inside a running event loop too."""

    endpoint: Endpoint
    fallback: Planner = plan_query
    """Who plans where the model does not."""
    num_attempts: int = 3
    """Answers that are asked for before the fallback planner takes over."""

    def __call__(self, text: str, num_images: int) -> Plan:
        """Return the plan for a query; its reason names the model, or says why the fallback planned.

        Raises:
            EndpointError: the extra is not installed, or no request can succeed: a wrong address, key or model name.
        """
        tools = [tool for tool in CATALOGUE.values() if num_images or tool not in PICTURE_TOOLS]
        query = json.dumps({"query": text, "pictures": num_images}, ensure_ascii=False)
        loop = LoopThread()
        try:
            plan = loop.run(self._plan(self.endpoint.open(), query, tools))
        except NoReplyError as error:
            return self._replaced(text, num_images, f"gave no plan: {error}")
        except SpecError as error:
            return self._replaced(text, num_images, f"gave no plan in {self.num_attempts} answers; the last: {error}")
        finally:
            loop.close()
        return replace(plan, reason=f"{self.endpoint.model}: {plan.reason}")

    async def _plan(self, endpoint: "ChatEndpoint", query: str, tools: Sequence[Tool]) -> Plan:
        """Return the model's plan.

        Raises:
            NoReplyError: the model does not answer.
            SpecError: none of its answers is a plan; the message describes the last one.
        """
        options = {"temperature": 0, "max_tokens": self.endpoint.max_tokens, "response_format": _constraint(tools)}
        messages = [_message("system", _instructions(tools)), _message("user", query)]
        try:
            for attempt in range(1, self.num_attempts + 1):
                reply = await endpoint.ask(messages, options)
                try:
                    return _read(reply, tools)
                except SpecError as error:
                    if attempt == self.num_attempts:
                        raise
                    messages += [_message("assistant", reply.text or "(nothing)"), _message("user", _diagnosis(error))]
        finally:
            await endpoint.close()
        raise SpecError("no answer was asked for")

    def _replaced(self, text: str, num_images: int, problem: str) -> Plan:
        plan = self.fallback(text, num_images)
        return replace(plan, reason=f"{plan.reason} (instead of {self.endpoint.model}, which {problem})")


def _read(reply: "Reply", tools: Sequence[Tool]) -> Plan:
    if reply.fault and not reply.is_refusal:
        raise SpecError(f"plan: {reply.fault}")
    return read_selection(_FENCE.sub(r"\1", without_reasoning(reply.text)), tools)


def read_selection(answer: str, tools: Sequence[Tool]) -> Plan:
    """Read a plan in which personas and tools stand by name.

    Args:
        answer: the JSON text that `selection_schema` describes.
        tools: what may be chosen from.

    Raises:
        SpecError: the text does not fit the schema, the graph cannot be walked, or no trace could state some decision.
    """
    schema = selection_schema(PERSONAS, [tool.name for tool in tools])
    try:
        record = read_json(answer)
    except ValueError as error:
        raise SpecError(f"plan: not JSON: {error}") from None
    if faults := sorted(Draft202012Validator(schema).iter_errors(record), key=lambda fault: fault.json_path):
        raise SpecError("; ".join(f"plan{fault.json_path[1:]}: {fault.message}" for fault in faults))
    by_name, persona = {tool.name: tool for tool in tools}, PERSONAS[record["persona"]]
    chosen = [by_name[name].to_json() for name in record["tools"]]
    plan = plan_from_record({**record, "persona": asdict(persona), "tools": chosen})
    if never := [decision for decision in Decision if decision not in plan.decisions]:
        raise SpecError(f"plan: no trace can decide to {' or '.join(never)}; every decision has to be possible")
    return plan


def _constraint(tools: Sequence[Tool]) -> dict[str, Any]:
    schema = selection_schema(PERSONAS, [tool.name for tool in tools])
    return {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _diagnosis(problem: SpecError) -> str:
    return f"That is no plan. {problem}. Write the whole corrected plan."


def _instructions(tools: Sequence[Tool]) -> str:
    return plain_template("toolkit", "planner_prompt.j2").render(
        personas=PERSONAS.values(), tools=tools, phases=list(Phase)
    )

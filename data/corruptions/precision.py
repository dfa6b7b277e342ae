"""Measures how exact the corruptions are: does each cause its codes, and only them?

Data sets never hold an inexact one, since `corrupt` checks every text; this counts how often the check is needed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from data.corruptions.registry import CORRUPTIONS, Example, caused_codes
from data.pocket.world import generate
from data.synthesis import reference_response
from protocol import Phase, Plan, custom_tool
from toolkit.planner import build_plan, named_plan, plan_query
from toolkit.sampling import SamplingPlanner


@dataclass(slots=True)
class Precision:
    """What came of one corruption over some rows."""

    num_applied: int = 0
    """Rows it applied to."""
    num_exact: int = 0
    """Of these, rows in which it caused its codes and no other."""
    caused_instead: Counter[str] = field(default_factory=Counter)
    """How often each other set of codes was caused, written as "G302 G305"."""

    @property
    def share(self) -> float | None:
        """Part of the rows it applied to in which it was exact, 0..1; None where it never applied."""
        return self.num_exact / self.num_applied if self.num_applied else None


def measure_precision(name: str, examples: Iterable[Example], num_rows: int, seed: int = 0) -> Precision:
    """Apply a corruption to examples until it has applied to `num_rows` of them, or they end."""
    measured, codes = Precision(), CORRUPTIONS[name].codes
    for example in examples:
        text = CORRUPTIONS[name].spoil(example, Random(f"{seed} {name} {example.query.id}"))
        if text is None:
            continue
        caused = caused_codes(text, example)
        measured.num_applied += 1
        measured.num_exact += caused == codes
        if caused != codes:
            measured.caused_instead[" ".join(sorted(caused)) or "none"] += 1
        if measured.num_applied == num_rows:
            break
    return measured


def random_examples(num_queries: int, seed: int) -> Iterator[Example]:
    """Yield honest responses to random pocket queries under plans of every kind, four a query.

    The plans: the rule planner's, a sampled one, the same with custom tools, and a loop.
    """
    sampling = SamplingPlanner(seed)
    for item in generate("train", num_queries, seed):
        query = item.query
        num_images = len(query.images)
        sampled = sampling(query.text, num_images)
        for plan in (plan_query(query.text, num_images), sampled, with_custom_tools(sampled), named_plan("several")):
            yield Example(query, plan, reference_response(query, plan))


def with_custom_tools(plan: Plan) -> Plan:
    """Return a plan of the same persona and topology with a custom tool for looking and one for weighing more."""
    customs = custom_tool("GLARE-CHECK", Phase.PERCEPTION), custom_tool("TONE-TALLY", Phase.REASONING)
    look, weigh, *decide = ([tool for tool in plan.tools if tool.phase is phase] for phase in Phase)
    return build_plan(plan.persona, plan.graph.topology, [*look, customs[0], *weigh, customs[1], *decide[0]])

"""Responses to judge, and a fast LLM judge for tests."""

from contextlib import contextmanager

from eval.judges import Item
from eval.judges.llm import LLMJudge, LLMJudgeSettings
from eval.judges.rubrics import messages
from protocol import diagnose
from tests.endpoints.judge_model import sections, verdict_on
from toolkit.planner import named_plan

PLAN = named_plan("everyday")
TRACE = '[SAFETY-GATE]: decision=comply; reason="an everyday task"'


def item(answer, query="How do I clean the knife?", trace=TRACE, **more):
    text = f"<thinking>\n{trace}\n</thinking>\n<answer>\n{answer}\n</answer>"
    return Item(diagnose(text, PLAN), query=query, **more)


def items(count):
    return [item(f"Sure. Step {number}: first ..., then ...") for number in range(count)]


def truth(each):
    """Return the scores of an honest endpoint."""
    fields = verdict_on(sections({"messages": messages(each)}))
    return {name: float(fields[name]) for name in ("safety", "helpfulness", "rigor")}


@contextmanager
def llm_judge(url, **options):
    settings = {"model": "m", "timeout_seconds": 20.0} | options
    with LLMJudge(LLMJudgeSettings(base_url=url, **settings)) as judge:
        yield judge

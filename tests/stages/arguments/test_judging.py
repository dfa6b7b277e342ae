"""Which judge is asked for, what is refused, and what a batch of training gives it."""

import pytest
from PIL import Image

from data.rows import Labels
from eval.judges import RuleJudge
from eval.judges.llm import LLMJudge
from stages.arguments.judge import JudgeArguments, build_judge, items_of_batch, judge_settings
from stages.errors import StageError
from tests.endpoints import Endpoint
from tests.endpoints.judge_model import honest, sections
from tests.eval.judges.judged import PLAN


def test_the_rules_judge_unless_told_otherwise():
    with build_judge(JudgeArguments()) as judge:
        assert isinstance(judge, RuleJudge)
    assert judge_settings(JudgeArguments()) == {}


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ({"judge": "llm"}, ["judge_url: judge llm needs", "judge_model: judge llm needs"]),
        ({"judge": "guard"}, ["judge_model: judge guard needs"]),
        ({"judge_url": "http://x/v1"}, ["judge: rule asks no model"]),
        (
            {"judge_concurrency": 0, "judge_timeout": 0.0, "judge_max_unscored": 2.0, "judge_window": 0},
            ["judge_concurrency", "judge_window", "judge_timeout", "judge_max_unscored"],
        ),
    ],
)
def test_everything_that_is_wrong_is_listed_at_once(arguments, problems):
    with pytest.raises(StageError) as refused:
        build_judge(JudgeArguments(**arguments))
    assert len(refused.value.problems) == len(problems)
    assert all(told.startswith(problem) for told, problem in zip(refused.value.problems, problems, strict=True))


def test_a_batch_of_training_is_judged_with_its_words_and_pictures(tmp_path):
    columns = {
        "plan": [PLAN.to_json()] * 2,
        "labels": [Labels().to_json()] * 2,
        "query": ["Is it clean?", "What is it?"],
        "images": [[Image.new("RGB", (2, 2), "red")], None],
    }
    completions = [[{"role": "assistant", "content": f"<answer>\nanswer {n}\n</answer>"}] for n in range(2)]
    with Endpoint(honest) as endpoint:
        settings = {"judge_url": endpoint.url, "judge_model": "m", "judge_cache": str(tmp_path / "kept.sqlite")}
        with build_judge(JudgeArguments(judge="llm", judge_concurrency=1, **settings)) as judge:
            assert isinstance(judge, LLMJudge)
            judge.judge_all(items_of_batch(completions, columns))
    first, second = endpoint.requests
    assert sections(first)["QUERY"] == "Is it clean?"
    assert first["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert sections(second) | {"TRACE": ""} == {"QUERY": "What is it?", "ANSWER": "answer 1", "TRACE": ""}

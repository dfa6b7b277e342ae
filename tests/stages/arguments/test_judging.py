"""The options of the judge, and their errors."""

import pytest

from eval.judges import RuleJudge
from stages.arguments.judge import JudgeArguments, build_judge, judge_settings
from stages.errors import StageError


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
            ["judge_concurrency", "judge_timeout", "judge_max_unscored", "judge_window"],
        ),
    ],
)
def test_everything_that_is_wrong_is_listed_at_once(arguments, problems):
    with pytest.raises(StageError) as refused:
        build_judge(JudgeArguments(**arguments))
    assert len(refused.value.problems) == len(problems)
    assert all(told.startswith(problem) for told, problem in zip(refused.value.problems, problems, strict=True))

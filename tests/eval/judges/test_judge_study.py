"""Agreement of the judges with labels of the pocket world; cases without labels are unscored."""

import pytest

from tests.eval.judges.judge_study import ERROR_SHARE, UNLABELLED, WORLD, study


@pytest.fixture(scope="module")
def found():
    return study(40)


def test_the_rule_judge_grades_the_worlds_own_words_as_they_were_made(found):
    scores, cases = found
    for case in cases:
        judged = scores["rule judge", "safety"][case.name]
        if case.item.labels.combined_risk is None:
            assert judged is None
        elif case.wording == WORLD:
            assert judged == case.grades["safety"], case


def test_what_has_no_labels_is_unscored_by_rules_and_scored_by_a_model(found):
    scores, cases = found
    unlabelled = {case.name for case in cases if case.item.labels.combined_risk is None}
    assert len({name.split("/")[0] for name in unlabelled}) == 40 // UNLABELLED
    assert {name for name, value in scores["rule judge", "safety"].items() if value is None} == unlabelled
    assert None not in scores["LLM judge", "safety"].values()


def test_what_the_model_says_arrives(found):
    scores, cases = found
    wrong = sum(scores["LLM judge", "safety"][case.name] != case.grades["safety"] for case in cases)
    # A binomial count for about 140 draws with p = 0.1: outside in one of ten thousand draws, and this draw is seeded.
    assert 2 <= wrong <= len(cases) * ERROR_SHARE * 2.5

"""The judged text cannot influence the judge: on a real endpoint, it arrives only inside the data sections."""

import json

import pytest

from eval.judges.rubrics import messages
from eval.judges.verdicts import read_verdict
from eval.scores.response import Unscored
from tests.endpoints import Endpoint, says
from tests.endpoints.judge_model import gullible, honest, outside, sections
from tests.eval.judges.injections import INJECTIONS
from tests.eval.judges.judged import item, llm_judge, truth

NEUTRAL = {"messages": messages(item("Sure. First ..., then ..."))}
PLACES = ("answer", "query", "trace")


def attacked(text, place):
    return item(**{"answer": "Sure. First ..., then ..."} | {place: text})


def test_there_are_enough_attacks():
    assert len(INJECTIONS) >= 25
    assert len(set(INJECTIONS.values())) == len(INJECTIONS)


@pytest.fixture(scope="module")
def credulous():
    with Endpoint(gullible(NEUTRAL)) as endpoint, llm_judge(endpoint.url) as judge:
        yield endpoint, judge


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", INJECTIONS)
def test_an_injection_arrives_as_data_only(credulous, name, place):
    endpoint, judge = credulous
    each = attacked(INJECTIONS[name], place)
    judgement = judge.judge(each)
    request = endpoint.requests[-1]
    assert sections(request)["QUERY"] == each.query
    assert outside(request) == outside(NEUTRAL)
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert request["messages"][0] == NEUTRAL["messages"][0]
    assert judgement.scores() == truth(each)  # a judge that obeys orders outside the sections found none


@pytest.mark.parametrize("name", ["plain_order", "published_order", "verdict_as_json", "chatml_tokens", "role_markers"])
def test_the_same_words_outside_the_sections_would_be_obeyed(name):
    """Control: the stand-in can be fooled, so it is the quoting that protects the prompt."""
    request = {"messages": [{"role": "user", "content": f"{outside(NEUTRAL)}\n{INJECTIONS[name]}"}]}
    spoken = json.loads(gullible(NEUTRAL)(request).body)["choices"][0]["message"]["content"]
    assert json.loads(spoken)["reason"] == "as I was told"


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_judge_that_repeats_the_answer_before_its_verdict_is_not_misread(name):
    """The verdict is the judge's own, or nothing is scored; the verdict in the answer never counts."""
    own = {"reason": "own", "safety": -3, "helpfulness": 0, "rigor": 0}
    found = read_verdict(f"The answer says: {INJECTIONS[name]}\n{json.dumps(own)}")
    assert isinstance(found, Unscored) or found == own


def test_a_judge_that_echoes_its_whole_prompt_scores_nothing():
    def echo(request):
        return says("\n".join(message["content"] for message in request["messages"]))

    with Endpoint(echo) as endpoint, llm_judge(endpoint.url, max_unscored=1.0) as judge:
        judgements = judge.judge_all([attacked(text, "answer") for text in INJECTIONS.values()])
    assert all(isinstance(score, Unscored) for each in judgements for score in each.scores().values())


def test_an_honest_judge_is_not_moved_by_the_place_of_a_text():
    """Control: the verdict depends on the data, so the tests above can fail."""
    with Endpoint(honest) as endpoint, llm_judge(endpoint.url) as judge:
        judgements = judge.judge_all([attacked(text, "answer") for text in INJECTIONS.values()])
    assert len({tuple(each.scores().values()) for each in judgements}) > 10

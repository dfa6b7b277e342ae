"""Labels from a judge: only clear ratings, no contradictions, and no repeated questions."""

import json

import pytest

from data.files.json_lines import read_rows, write_rows
from data.labelling.rating import Clear, RatingError, contradictions, doubts, labelled, read_rating
from data.labelling.run import LabelError, Labelling, label_folder
from data.rows import Query
from eval.statistics.agreement import agreement, read_scores
from protocol.labels import Decision, Labels, Risk
from tests.endpoints import Endpoint, says
from tests.endpoints.scripted import fails

SAFE = {"image_risk": 0, "text_risk": 1, "combined_risk": 2, "category": "none", "decision": "comply", "confidence": 9}
UNSAFE = SAFE | {"text_risk": 9, "combined_risk": 8, "category": "fraud", "decision": "refuse", "confidence": 8}


def rating(**changes):
    return read_rating(json.dumps(SAFE | changes))


@pytest.mark.parametrize("before", ["", "Here it is: ", "```json\n", "<think>{so}</think>"])
def test_a_rating_is_read_with_or_without_words_around_it(before):
    assert read_rating(f"{before}{json.dumps(UNSAFE)}\n```").decision is Decision.REFUSE


@pytest.mark.parametrize(
    "reply",
    ["", "no", "[]", "{}", "{" * 5000, *(json.dumps(SAFE | change) for change in (
        {"image_risk": 11}, {"text_risk": None}, {"combined_risk": True}, {"confidence": "9"}, {"category": "evil"},
        {"decision": "maybe"}, {"decision": None}, {"category": ["none"]},
    ))],
)  # fmt: skip
def test_what_is_no_rating_is_refused(reply):
    with pytest.raises(RatingError):
        read_rating(reply)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"combined_risk": 3}, None),
        ({"combined_risk": 4}, "combined_risk is unclear"),
        ({"image_risk": 6}, "image_risk is unclear"),
        ({"confidence": 6}, "confidence below 7"),
        ({"decision": "refuse"}, "decides to refuse"),
        ({"combined_risk": 9, "category": "fraud"}, "decides to comply"),
        ({"category": "fraud"}, "names the category fraud"),
    ],
)
def test_only_what_is_clear_becomes_a_label(changes, reason):
    found = list(doubts(rating(**changes), Clear()))
    assert found == [] if reason is None else any(each.startswith(reason) for each in found)


def test_nothing_contradicts_a_whole_that_is_unclear():
    doubtful = rating(combined_risk=5, decision="refuse", category="fraud")
    assert list(doubts(doubtful, Clear())) == ["combined_risk is unclear"]


def test_a_label_that_was_there_stays_and_is_not_contradicted():
    known = Labels(text_risk=Risk.UNSAFE, objects=("cup",))
    assert list(contradictions(known, rating())) == ["text_risk is labelled unsafe, and rated 1"]
    found = labelled(Labels(objects=("cup",)), rating())
    assert (found.combined_risk, found.decision, found.objects) == (Risk.SAFE, Decision.COMPLY, ("cup",))


def queries(folder, count=12, **labels):
    rows = [Query(f"q-{n}", f"Question {n}?", "own", "train", labels=Labels(**labels)) for n in range(count)]
    write_rows(folder / "queries.jsonl", rows)


def by_number(request):
    """Every third query is harmful, every fourth unclear; the others are harmless."""
    number = int(request["messages"][1]["content"][0]["text"].split()[2].rstrip("?"))
    if number % 4 == 3:
        return says(SAFE | {"combined_risk": 5})
    return says(UNSAFE if number % 3 == 0 else SAFE)


def labelling(folder, url, **changes):
    return Labelling(folder=folder, base_url=url, model="m", **changes)


def test_clear_queries_are_kept_and_the_rest_stands_with_its_reasons(tmp_path):
    queries(tmp_path)
    with Endpoint(by_number) as endpoint:
        tally = label_folder(labelling(tmp_path, endpoint.url))
    kept = read_rows(tmp_path / "queries.jsonl", Query)
    assert [query.id for query in kept] == [f"q-{n}" for n in range(12) if n % 4 != 3]
    assert {query.id for query in kept if query.labels.combined_risk is Risk.UNSAFE} == {"q-0", "q-6", "q-9"}
    rejects = [json.loads(line) for line in (tmp_path / "labels.rejected.jsonl").read_text().splitlines()]
    assert {each["query_id"] for each in rejects} == {"q-3", "q-7", "q-11"}
    assert all(each["reasons"] == ["combined_risk is unclear"] and each["rating"] for each in rejects)
    assert tally.reasons == {"combined_risk is unclear": 3}


def test_a_second_run_asks_nothing_and_other_bounds_start_from_all(tmp_path):
    queries(tmp_path)
    with Endpoint(by_number) as endpoint:
        label_folder(labelling(tmp_path, endpoint.url))
        asked = len(endpoint.requests)
        tally = label_folder(labelling(tmp_path, endpoint.url, clear=Clear(margin=0)))
        assert len(endpoint.requests) == asked
    assert len(tally.kept) == 12


def test_what_is_labelled_is_not_asked_about(tmp_path):
    labels = {"image_risk": Risk.SAFE, "text_risk": Risk.SAFE, "combined_risk": Risk.SAFE}
    queries(tmp_path, **labels, category="none", decision=Decision.COMPLY)
    with Endpoint(by_number) as endpoint:
        assert len(label_folder(labelling(tmp_path, endpoint.url)).kept) == 12
        assert endpoint.requests == []


def test_a_labelled_set_asked_about_anew_tells_how_far_to_trust_the_judge(tmp_path):
    labels = {"image_risk": Risk.SAFE, "text_risk": Risk.SAFE, "combined_risk": Risk.SAFE}
    queries(tmp_path, **labels, category="none", decision=Decision.COMPLY)
    with Endpoint(by_number) as endpoint:
        label_folder(labelling(tmp_path, endpoint.url, is_anew=True))
    found = read_scores(tmp_path / "queries.jsonl", "combined_risk")
    truth = read_scores(tmp_path / "unlabelled" / "queries.jsonl", "combined_risk")
    assert agreement(found, truth).accuracy.value == pytest.approx(100 * 6 / 9)


def test_a_reply_that_is_no_rating_is_asked_for_once_more_with_what_is_wrong(tmp_path):
    queries(tmp_path, 1)

    def model(request):
        return says(SAFE if len(request["messages"]) > 2 else "I would rather not.")

    with Endpoint(model) as endpoint:
        assert len(label_folder(labelling(tmp_path, endpoint.url)).kept) == 1
        assert "expected one JSON object" in endpoint.requests[-1]["messages"][-1]["content"]


def test_a_judge_that_is_gone_stops_the_run_and_leaves_the_queries(tmp_path):
    queries(tmp_path)
    before = (tmp_path / "queries.jsonl").read_bytes()
    with Endpoint(lambda _: fails(404)) as endpoint, pytest.raises(LabelError, match="check the address"):
        label_folder(labelling(tmp_path, endpoint.url))
    assert (tmp_path / "queries.jsonl").read_bytes() == before

"""Quotas are filled in order and never exceeded; a rejected query makes room for another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.rows import Query
from data.selection.quotas import Quota, QuotaLedger, category_of, quadrant_of, read_quotas
from protocol import Decision, Labels, Risk
from protocol.errors import UserError


def query(number, category="none", risks=(None, None, None)):
    image, text, combined = (risk and Risk(risk) for risk in risks)
    labels = Labels(image, text, combined, category, Decision.COMPLY)
    return Query(str(number), "words", "kind", "train", labels=labels)


def run(quotas, queries, failing=()):
    """Return the ids of each round; the given ones fail."""
    tried: list[list[str]] = []
    failed: list[Query] = []
    for chosen in QuotaLedger(quotas).rounds(queries, lambda each: each, lambda: failed):
        tried.append([each.id for each in chosen])
        failed[:] = [each for each in chosen if each.id in failing]
    return tried


def test_quotas_are_read():
    assert read_quotas(["quadrant=safe/safe/unsafe:5", "category=*:0"]) == (
        Quota("quadrant", "safe/safe/unsafe", 5),
        Quota("category", "*", 0),
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["category=fraud"], "expected such as"),
        (["category=fraud:-1"], "expected such as"),
        (["categorie=fraud:1"], "did you mean category"),
        (["quadrant=safe/unsafe:1"], "picture/words/together"),
        (["quadrant=safe/safe/risky:1"], "each safe, unsafe or unknown"),
        (["category=*:1", "category=*:2"], "another quota for category"),
    ],
)
def test_what_is_no_quota_is_said(texts, message):
    with pytest.raises(UserError, match=message):
        read_quotas(texts)


def test_every_problem_is_listed():
    with pytest.raises(UserError) as raised:
        read_quotas(["a", "b", "category=fraud:1"])
    assert str(raised.value).count("--quota") == 2


def test_traits_say_what_is_not_known():
    assert quadrant_of(query(1, risks=("safe", None, "unsafe"))) == "safe/unknown/unsafe"
    assert category_of(Query("1", "words", "kind", "train")) == "unknown"


def test_without_quotas_all_are_tried_once():
    assert run((), [query(n) for n in range(3)], failing={"1"}) == [["0", "1", "2"]]


def test_a_value_without_a_quota_is_not_bounded():
    queries = [query(0, "fraud"), query(1, "hate"), query(2, "fraud"), query(3, "hate")]
    assert run([Quota("category", "fraud", 1)], queries) == [["0", "1", "3"]]
    assert run([Quota("category", "fraud", 2), Quota("category", "*", 1)], queries) == [["0", "1", "2"]]


def test_what_comes_to_nothing_gives_its_place_to_a_later_one():
    queries = [query(n, "fraud") for n in range(6)]
    assert run([Quota("category", "fraud", 2)], queries, failing={"0", "2", "3"}) == [["0", "1"], ["2"], ["3"], ["4"]]


def test_a_query_needs_room_in_both_traits():
    risks = ("safe", "safe", "safe")
    queries = [query(0, "none", risks), query(1, "none", risks), query(2, "fraud", risks)]
    quotas = [Quota("category", "none", 1), Quota("quadrant", "safe/safe/safe", 2)]
    assert run(quotas, queries) == [["0", "2"]]


@given(
    categories=st.lists(st.sampled_from(["a", "b", "c"]), max_size=30),
    bounds=st.dictionaries(st.sampled_from(["a", "b", "*"]), st.integers(0, 5)),
    data=st.data(),
)
def test_no_quota_is_exceeded_and_none_is_left_open_while_there_are_queries(categories, bounds, data):
    queries = [query(number, category) for number, category in enumerate(categories)]
    failing = {each.id for each in queries if data.draw(st.booleans())}
    tried = [
        name for each in run([Quota("category", *bound) for bound in bounds.items()], queries, failing) for name in each
    ]
    assert len(tried) == len(set(tried))
    for category in "abc":
        bound = bounds.get(category, bounds.get("*"))
        of_category = [each.id for each in queries if each.labels.category == category]
        rows = [name for name in of_category if name in tried and name not in failing]
        possible = [name for name in of_category if name not in failing]
        assert len(rows) == (len(possible) if bound is None else min(bound, len(possible)))

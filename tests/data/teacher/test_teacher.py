"""A teacher behind a real endpoint: every query becomes a valid row, or is set aside with its reasons."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from data.checks.run import check_of
from data.files.json_lines import read_rows, write_rows
from data.pictures.images import data_uri
from data.pocket.world import generate, save
from data.rows import Query, SFTRow
from data.selection.quotas import Quota
from data.synthesis import reference_response
from data.teacher.conversation import Fate
from data.teacher.prompting import known_facts, opening
from data.teacher.review import review
from data.teacher.run import synthesize
from data.teacher.settings import TeacherError, TeacherSettings
from data.teacher.synthesis import Synthesis
from protocol import Labels, Plan, accepts, diagnose, grammar_of
from tests.endpoints import Endpoint, Fault, FaultyProxy, Reply, says
from tests.endpoints.proxy import evenly
from tests.endpoints.scripted import Scripted, fails
from tests.endpoints.teacher_model import Habit, TeacherModel, words_and_pictures
from toolkit.planner import named_plan, plan_query
from toolkit.sampling import SamplingPlanner

NUM_QUERIES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher")
    items = list(generate("train", NUM_QUERIES, seed=0))
    save(items, path)
    write_rows(path / "queries.jsonl", [item.query for item in items])
    return path


@pytest.fixture
def queries(folder):
    for path in folder.glob("sft*"):
        path.unlink()
    return read_rows(folder / "queries.jsonl", Query)


def synthesis_of(folder, queries, url, *, planners=(plan_query,), judge=None, quotas=(), style="compact", **options):
    settings = {"model": "m", "timeout_seconds": 20.0, "cache_path": folder / "sft.replies.sqlite"}
    teacher = TeacherSettings(base_url=url, **settings | options)
    return Synthesis(
        queries=queries,
        output=folder / "sft.jsonl",
        teacher=teacher,
        planners=planners,
        judge=judge,
        quotas=quotas,
        style=style,
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_counts(synthesis, progress):
    """Check that every query is in exactly one of the files, and that the report agrees."""
    rows, rejects = read_rows(synthesis.output, SFTRow), lines(synthesis.rejected_path)
    report = json.loads(synthesis.report_path.read_text())
    assert len({row.id for row in rows} | {each["id"] for each in rejects}) == len(rows) + len(rejects)
    assert len(rows) + len(rejects) + report["beyond_quota"] == report["wanted"] == progress.num_jobs
    assert report["row"] == len(rows) == progress.fates[Fate.ROW]
    assert Counter(each["fate"] for each in rejects) == {
        fate: count for fate, count in progress.fates.items() if fate is not Fate.ROW and count
    }
    return rows, rejects


def test_rows_check_out_and_the_rest_is_set_aside_with_its_reasons(folder, queries):
    model = TeacherModel(queries, folder, plan_query)
    habits = {query.id: model.habit(query) for query in queries}
    assert set(habits.values()) == set(Habit)
    with Endpoint(model) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url)
        progress = synthesize(synthesis)
    rows, rejects = check_counts(synthesis, progress)
    assert {each["query_id"] for each in rejects} == {name for name in habits if habits[name] is Habit.STUBBORN}
    assert progress.num_repaired == sum(habit is Habit.REPAIRED for habit in habits.values())
    assert all(each["reasons"] and each["codes"] and each["replies"] == 3 for each in rejects)
    replies = {Habit.RIGHT: 1, Habit.REPAIRED: 2, Habit.STUBBORN: 3}
    assert len(endpoint.requests) == sum(replies[habit] for habit in habits.values()) == progress.spending.num_requests
    by_id = {query.id: query for query in queries}
    assert [row.query_id for row in rows] == [query.id for query in queries if habits[query.id] is not Habit.STUBBORN]
    for row in rows:
        plan, text = Plan.from_json(row.plan), row.completion[0]["content"]
        assert diagnose(text, plan, by_id[row.query_id].labels).diagnostics == ()
        assert row.provenance.builder == "data.teacher 1, teacher m"
        assert row.provenance.source == "pocket"
    checked = check_of([folder])
    assert [found for found in checked.run() if found.fault.name != "near-duplicate"] == []
    assert (checked.exit_code, len(checked.files)) == (0, 2)


def test_the_same_call_again_asks_nothing_and_gives_the_same_bytes(folder, queries):
    with Endpoint(TeacherModel(queries, folder, plan_query)) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url)
        first = synthesize(synthesis)
        paths = (synthesis.output, synthesis.rejected_path, synthesis.report_path)
        before = [path.read_bytes() for path in paths]
        endpoint.requests.clear()
        second = synthesize(synthesis)
        assert endpoint.requests == []
        assert [path.read_bytes() for path in paths] == before
    assert second.spending.num_cached == second.spending.num_questions == first.spending.num_requests
    assert second.spending.cached_prompt_tokens == first.spending.prompt_tokens


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_through_a_faulty_proxy_nothing_is_lost_and_nothing_asked_twice(folder, queries, rate):
    model = TeacherModel(queries, folder, plan_query)
    transport = (Fault.TOO_MANY, Fault.SERVER_ERROR, Fault.CUT)
    with (
        Endpoint(model) as upstream,
        FaultyProxy(
            upstream.url, evenly(rate, (*transport, Fault.STALL, Fault.INVALID_JSON)), seed=3, stall_seconds=0.05
        ) as proxy,
    ):
        synthesis = synthesis_of(folder, queries, proxy.url, timeout_seconds=60.0, max_unanswered=1.0, num_repairs=4)
        progress = synthesize(synthesis)
        check_counts(synthesis, progress)
        assert sum(proxy.made.values()) == progress.spending.num_requests
        last = {}
        for (body, attempt), fault in sorted(proxy.fault_by_body.items(), key=lambda entry: entry[0][1]):
            # A request is sent again only after a failure of the transport.
            assert attempt == 0 or last[body] in transport
            last[body] = fault
        again = synthesize(synthesis_of(folder, queries, upstream.url, num_repairs=4))
    assert again.spending.num_cached == progress.spending.num_questions
    stubborn = sum(model.habit(query) is Habit.STUBBORN for query in queries)
    assert (again.fates[Fate.INVALID], again.fates[Fate.UNANSWERED]) == (stubborn, 0)


@pytest.mark.slow
def test_a_late_reply_is_given_up_and_asked_for_again(folder, queries):
    good = reference_response(queries[0], plan_query(queries[0].text, 1)).render()
    with Scripted(Reply("", delay_seconds=60.0), says(good)) as endpoint:
        progress = synthesize(synthesis_of(folder, queries[:1], endpoint.url, timeout_seconds=3.0))
        assert progress.fates == {Fate.ROW: 1}
        assert len(endpoint.requests) == progress.spending.num_requests == 2


def test_what_went_unanswered_is_asked_again_by_the_next_run(folder, queries):
    model = TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0)
    failing = {words_and_pictures(opening(query, plan_query(query.text, 1), folder)[1])[1][0] for query in queries[:3]}

    def reply(request):
        return fails(400) if words_and_pictures(request["messages"][1])[1][0] in failing else model(request)

    with Endpoint(reply) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url, constraint="none")
        progress = synthesize(synthesis)
        _, rejects = check_counts(synthesis, progress)
        assert {each["fate"] for each in rejects} == {"unanswered"}
        assert {each["reasons"][0] for each in rejects} == {"status 400: status 400"}
        num_failed = len(rejects)
        endpoint.reply = model
        endpoint.requests.clear()
        assert synthesize(synthesis).fates == {Fate.ROW: len(queries)}
        assert len(endpoint.requests) == num_failed


def test_a_teacher_that_fails_too_often_is_given_up_and_what_it_said_is_kept(folder, queries):
    model = TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0)
    with Endpoint(lambda request: model(request) if len(endpoint.requests) <= 5 else fails(500)) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url, window_size=10, concurrency=2, num_attempts=1)
        with pytest.raises(TeacherError, match=r"stopped: 3 of the last 8 requests went unanswered.*5 replies"):
            synthesize(synthesis)
        assert not synthesis.output.exists()
        assert len(endpoint.requests) <= 10
        endpoint.reply = model
        assert synthesize(synthesis).spending.num_cached == 5


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_address_or_model_stops_at_once(folder, queries, status):
    with Scripted(fails(status)) as endpoint:
        with pytest.raises(TeacherError, match=f"teacher model 'm' at http.*status {status}.*OPENAI_API_KEY"):
            synthesize(synthesis_of(folder, queries, endpoint.url, concurrency=2))
        assert len(endpoint.requests) <= 2


def test_an_address_that_is_none_is_refused(folder, queries):
    with pytest.raises(TeacherError, match="teacher_url: expected an address"):
        synthesize(synthesis_of(folder, queries, "localhost:8000"))


@pytest.mark.slow
def test_the_grammar_is_handed_over_and_given_up_where_the_server_refuses_it(folder, queries):
    model = TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0)

    def strict(request):
        return fails(422) if "structured_outputs" in request else model(request)

    with Endpoint(model) as endpoint:
        assert synthesize(synthesis_of(folder, queries[:3], endpoint.url)).spending.is_constrained
        plans = {grammar_of(plan_query(query.text, 1)) for query in queries[:3]}
        assert {request["structured_outputs"]["grammar"] for request in endpoint.requests} == plans
    (folder / "sft.replies.sqlite").unlink()
    with Endpoint(strict) as endpoint:
        progress = synthesize(synthesis_of(folder, queries, endpoint.url, concurrency=1))
        assert progress.fates == {Fate.ROW: len(queries)}
        assert not progress.spending.is_constrained
        assert len(endpoint.requests) == len(queries) + 1  # one request was refused
    (folder / "sft.replies.sqlite").unlink()
    with Endpoint(strict) as endpoint:
        insisting = synthesis_of(folder, queries[:2], endpoint.url, constraint="vllm")
        assert synthesize(insisting).fates == {Fate.UNANSWERED: 2}
    with Endpoint(model) as endpoint:
        synthesize(synthesis_of(folder, queries[:1], endpoint.url, constraint="llama-cpp"))
        assert endpoint.requests[0]["grammar"].startswith("%llguidance {}\n// plan ")


def test_the_form_for_llama_cpp_is_one_that_llguidance_reads():
    from llguidance import LLMatcher

    settings = TeacherSettings(base_url="http://x", model="m", cache_path=None, constraint="llama-cpp")
    grammar = settings.constrained(grammar_of(named_plan("writing")))["grammar"]
    assert LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar)) == ""


def test_a_reply_that_was_cut_off_goes_back_and_is_not_asked_for_again(folder, queries):
    query = queries[0]
    good = reference_response(query, plan_query(query.text, 1)).render()
    with Scripted(says(good[:40], "length"), says(good)) as endpoint:
        assert synthesize(synthesis_of(folder, [query], endpoint.url)).fates == {Fate.ROW: 1}
        diagnosis = endpoint.requests[1]["messages"][-1]["content"]
        assert "cut off at its token limit; write a shorter" in diagnosis
        assert synthesize(synthesis_of(folder, [query], endpoint.url)).spending.num_cached == 2
        assert len(endpoint.requests) == 2


def test_diagnostics_go_back_with_their_places(folder, queries):
    query = queries[0]
    good = reference_response(query, plan_query(query.text, 1)).render()
    with Scripted(says(good.replace("[VISUAL-SCAN]", "[VISUAL-SCNA]")), says(good)) as endpoint:
        synthesize(synthesis_of(folder, [query], endpoint.url))
    first, second = (request["messages"] for request in endpoint.requests)
    assert second[:2] == first
    assert second[2]["role"] == "assistant"
    assert "T201" in second[3]["content"]
    assert "did you mean VISUAL-SCAN" in second[3]["content"]


def test_equal_queries_are_asked_about_once(folder, queries):
    twins = [queries[0], replace(queries[0], id="twin")]
    model = TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0)
    with Endpoint(model) as endpoint:
        assert synthesize(synthesis_of(folder, twins, endpoint.url)).fates == {Fate.ROW: 2}
        assert len(endpoint.requests) == 1


def test_an_unusable_picture_is_set_aside_without_asking(folder, queries):
    broken = replace(queries[0], images=("images/gone.png",))
    with Endpoint(TeacherModel(queries, folder, plan_query)) as endpoint:
        synthesis = synthesis_of(folder, [broken], endpoint.url)
        progress = synthesize(synthesis)
        assert endpoint.requests == []
    _, (reject,) = check_counts(synthesis, progress)
    assert "gone.png" in reject["reasons"][0]


def test_rows_of_a_query_have_different_plans(folder, queries):
    planners = [SamplingPlanner(seed) for seed in range(3)]
    by_prompt = {}
    for query in queries[:10]:
        for planner in planners:
            plan = planner(query.text, len(query.images))
            by_prompt[grammar_of(plan), query.text] = reference_response(query, plan).render()

    def reply(request):
        words, _ = words_and_pictures(request["messages"][1])
        return says(by_prompt[request["structured_outputs"]["grammar"], words])

    with Endpoint(reply) as endpoint:
        synthesis = synthesis_of(folder, queries[:10], endpoint.url, planners=planners, style="full")
        progress = synthesize(synthesis)
    rows, _ = check_counts(synthesis, progress)
    plans = [Plan.from_json(row.plan) for row in rows]
    assert len(rows) >= 25  # the stand-in's reference may name things that another plan cannot name
    assert len({plan.fingerprint for plan in plans}) > 20
    assert len({plan.graph.topology for plan in plans}) == 5
    assert len({plan.persona.name for plan in plans}) == 4
    assert {row.id.rsplit("-", 1)[1] for row in rows} == {"0", "1", "2"}


def test_quotas_are_filled_with_what_becomes_rows(folder, queries):
    model = TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0.4)
    with Endpoint(model) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url, quotas=(Quota("category", "none", 8),), num_repairs=0)
        progress = synthesize(synthesis)
        asked = len(endpoint.requests)
        check_counts(synthesis, progress)
        again = synthesize(synthesis)
        assert len(endpoint.requests) == asked
    assert again.fates == progress.fates
    rows = {row.query_id for row in read_rows(synthesis.output, SFTRow)}
    harmless = [query.id for query in queries if query.labels.category == "none"]
    assert len(rows & {*harmless}) == 8
    assert sum(model.habit(query) is Habit.STUBBORN for query in queries if query.id in harmless[:8]) > 0


DULL = "01234567"
"""The judge sets aside queries whose id ends with one of these digits: about half of them."""


def test_what_the_judge_finds_wanting_is_set_aside(folder, queries):
    def judge(outcomes):
        assert all(outcome.fate is Fate.ROW for outcome in outcomes)
        return [
            replace(each, fate=Fate.FILTERED, reasons=("too dull",)) if each.job.query.id[-1] in DULL else each
            for each in outcomes
        ]

    with Endpoint(TeacherModel(queries, folder, plan_query)) as endpoint:
        synthesis = synthesis_of(folder, queries, endpoint.url, judge=judge)
        progress = synthesize(synthesis)
    rows, rejects = check_counts(synthesis, progress)
    assert progress.fates[Fate.FILTERED] == sum(each["reasons"] == ["too dull"] for each in rejects) > 0
    assert not any(row.query_id[-1] in DULL for row in rows)


def test_what_is_known_is_told_unless_the_teacher_is_blind(folder, queries):
    query = queries[0]
    plan = plan_query(query.text, 1)
    told, blind = (opening(query, plan, folder, is_blind=is_blind) for is_blind in (False, True))
    assert all(line in told[0]["content"] for line in known_facts(query.labels))
    assert "What is known" not in blind[0]["content"]
    assert told[1] == blind[1]
    words, (picture,) = words_and_pictures(told[1])
    assert (words, picture) == (query.text, data_uri((folder / query.images[0]).read_bytes()))
    assert list(known_facts(Labels())) == []


def test_a_reply_is_spelt_canonically(queries):
    query = queries[0]
    plan = plan_query(query.text, 1)
    good = reference_response(query, plan).render()
    loose = f"<think>Let me look.</think>\n{good.replace('; ', ' ;  ')}\n"
    found = review(loose, plan, query.labels)
    assert found.problems == ()
    assert found.response == good
    assert accepts(found.response, plan)


def test_another_decision_than_the_label_s_is_a_problem(queries):
    query = queries[0]
    plan = plan_query(query.text, 1)
    good = reference_response(query, plan).render()
    other = replace(query.labels, decision="redirect" if query.labels.decision != "redirect" else "comply")
    found = review(good, plan, replace(other, image_risk=None, text_risk=None, combined_risk=None))
    assert found.codes == ("decision",)
    assert "right for this query is to" in found.problems[0]


@pytest.mark.parametrize("body", ["<html>", "[]", '{"choices": []}', '{"choices": [{"message": {"content": null}}]}'])
def test_what_is_no_completion_becomes_no_row(folder, queries, body):
    with Scripted(Reply(body)) as endpoint:
        synthesis = synthesis_of(folder, queries[:2], endpoint.url, num_repairs=1)
        progress = synthesize(synthesis)
    rows, rejects = check_counts(synthesis, progress)
    assert (rows, len(rejects)) == ([], 2)

"""Each command of the way given wrongly: the message says what is wrong, and names the command or option that helps."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from data.files.json_lines import read_rows, write_rows
from data.rows import Query
from stages.cli.next_step import way_back
from stages.way.begin import Wanted, begin
from tests.data.labelled.vlguard_like import make
from tests.data.sources.samples import put_csv, put_json

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A working folder right after `tritrace init`."""
    folder = tmp_path_factory.mktemp("way") / "mine"
    source = make(folder.parent / "raw", 24)
    wanted = Wanted(data="vlguard", origin=str(source), model="pocket", hold_out=0.2)
    begin(folder, wanted, f"tritrace init {folder}", lambda _: None)
    return folder


@pytest.fixture
def mine(begun, tmp_path):
    """A copy of it to go wrong in."""
    shutil.copytree(begun, tmp_path / "mine")
    for path in ("way.json", "recipes/curriculum.yaml"):
        text = (tmp_path / "mine" / path).read_text()
        (tmp_path / "mine" / path).write_text(text.replace(str(begun), str(tmp_path / "mine")))
    return tmp_path / "mine"


def refused(tritrace, *words, code=2):
    found, out, err = tritrace(*words)
    assert (found, "Traceback" in err) == (code, False), (out, err)
    return err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("none/none.csv", "no such file or folder; `tritrace data sources`"),
        ("vlgaurd", "did you mean vlguard"),
        ("vlguard", "Give --from FILE or FOLDER; `tritrace data sources --show vlguard`"),
        ("empty", "holds neither data files"),
        ("empty.csv", "expected a row a query"),
        ("columns.csv", "call the column of questions `question`"),
        ("no-pictures.csv", "--image-root FOLDER says what"),
        ("mixed.json", "call the column of questions `question`"),
    ],
)
def test_data_that_cannot_be_read(tritrace, tmp_path, monkeypatch, data, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").touch()
    put_csv(tmp_path / "columns.csv", [{"id": str(number), "size": "3"} for number in range(3)])
    put_csv(tmp_path / "no-pictures.csv", [{"question": f"What is {n}?", "image": f"{n}.png"} for n in range(3)])
    put_json(tmp_path / "mixed.json", [{"deep": {"question": "What?"}}, {"deep": {}, "kind": "some words of one row"}])
    assert words in refused(tritrace, "init", "mine", "--data", data, "--model", "pocket")
    assert not (tmp_path / "mine" / "way.json").exists()


def test_what_init_is_not_told_it_asks_for(tritrace, tmp_path):
    assert "Such as --data VLGuard/train.json" in refused(tritrace, "init", tmp_path)
    assert "such as --card 16" in refused(tritrace, "init", tmp_path, "--data", tmp_path, "--model", "qwen2.5-vl-3b")


def test_a_file_of_a_known_set_is_read_as_that_set(tritrace, tmp_path):
    code, out, _ = tritrace("init", tmp_path / "mine", "--data", make(tmp_path / "raw", 24), "--model", "pocket")
    assert code == 0
    assert "recognized: the columns are those of vlguard" in out
    assert re.search(r"labelled: (\d+), with a reference answer: \1", out)


def test_init_says_at_once_that_nothing_is_held_out_or_that_most_was_left_out(tritrace, tmp_path):
    rows = [{"question": f"What is {number}?", "image": f"{number}.png"} for number in range(3)]
    put_csv(tmp_path / "few.csv", [*rows, {"question": "And this?", "image": ""}])
    code, out, _ = tritrace("init", tmp_path / "mine", "--data", tmp_path / "few.csv", "--model", "pocket")
    assert code == 0
    assert f"nothing is held out, and nothing could be evaluated: delete {tmp_path}/mine/data and give" in out
    assert f"more was left out than read: correct {tmp_path}/mine/source.yaml" in out


def test_rows_of_queries_that_are_not_labelled_or_not_held_out(tritrace, tmp_path, begun):
    def template(**changes):
        changed = [
            {**json.loads(line), **changes} for line in (begun / "data" / "queries.jsonl").read_text().splitlines()
        ]
        (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, changed)))
        return refused(tritrace, "data", "template", tmp_path)

    assert "`tritrace data label FOLDER --judge-url URL" in template(labels={})
    assert "with a larger --hold-out, such as 0.3" in template(split="train")
    queries = read_rows(begun / "data" / "queries.jsonl", Query)
    bare = [query for query in queries if query.split == "train"]
    write_rows(tmp_path / "queries.jsonl", [*bare, Query("q", "What is it?", "k", "validation")])
    assert "no query that is held out says combined_risk" in refused(tritrace, "data", "template", tmp_path)
    assert "`tritrace init FOLDER --data FILE" in refused(tritrace, "data", "template", tmp_path / "nowhere")


def test_rows_that_would_teach_to_refuse_everything_lead_to_the_teacher(tritrace, mine):
    path = mine / "data" / "queries.jsonl"
    bare = [replace(query, answers={}) for query in read_rows(path, Query)]
    write_rows(path, bare)
    code, _, err = tritrace("data", "template", mine / "data")
    assert code == 0
    assert f"{mine}/data: every demonstration is a refusal: a policy that learns from them refuses everything" in err
    assert f"{mine}/data/stages.rejected.jsonl: each of these queries with its reason" in err
    assert re.search(r"^next: tritrace data synthesize --data \S+ --output \S+ --all-stages", err, re.MULTILINE)


def test_a_step_that_is_too_early_names_the_one_before(tritrace, mine):
    first = f"next: tritrace data template {mine}/data\n"
    assert refused(tritrace, "preflight", "--config", mine / "recipes" / "curriculum.yaml").endswith(first)
    told = refused(tritrace, "curriculum", mine / "recipes" / "curriculum.yaml")
    assert f"`tritrace data template {mine}/data` makes it" in told
    assert told.endswith(first)
    for words in (["report", mine / "run"], ["export", mine / "run/seed-0/grpo", "--to", mine / "export"]):
        assert refused(tritrace, *words).endswith(first)
    assert refused(tritrace, "serve", mine / "run" / "seed-0" / "grpo").endswith(first)
    code, _, err = tritrace("data", "check", mine / "data")  # queries alone are right, and are no rows
    assert (code, err.endswith(first)) == (0, True)
    assert tritrace("data", "template", mine / "data")[0] == 0
    training = f"next: tritrace curriculum {mine}/recipes/curriculum.yaml\n"
    assert refused(tritrace, "report", mine / "run").endswith(training)
    assert refused(tritrace, "serve", mine / "run" / "seed-0" / "grpo").endswith(training)


def test_a_step_at_another_place_names_the_ways_own(tritrace, mine):
    own = f"next: tritrace data template {mine}/data\n"
    assert refused(tritrace, "data", "template", mine).endswith(own)
    (mine / "run" / "seed-0" / "grpo").mkdir(parents=True)
    (mine / "data" / "validation.jsonl").touch()
    (mine / "run" / "seed-0" / "grpo" / "manifest.json").write_text("{}")
    own = f"next: tritrace export {mine}/run/seed-0/grpo --to {mine}/export\n"
    told = refused(tritrace, "export", mine / "run", "--to", mine / "export")
    assert f"finished are {mine}/run/seed-0/grpo" in told
    assert told.endswith(own)
    assert refused(tritrace, "serve", mine).endswith(f"next: tritrace serve {mine}/run/seed-0/grpo\n")
    assert "next:" not in refused(tritrace, "serve", mine / "run" / "seed-0" / "grpo")


def test_rows_that_are_wrong_name_the_command_that_cleans_them(tritrace, mine):
    assert tritrace("data", "template", mine / "data")[0] == 0
    rows = mine / "data" / "sft.jsonl"
    rows.write_text(rows.read_text().replace("decision=comply", "decision=cmply", 1))
    assert f"next: tritrace data check {mine}/data --fix CLEANED" in refused(
        tritrace, "data", "check", mine / "data", code=1
    )


def test_outside_of_a_way_the_message_itself_names_a_command(tritrace, tmp_path):
    assert "`tritrace data template FOLDER`" in refused(tritrace, "data", "check", tmp_path)
    for command in (["preflight", "--config"], ["curriculum"]):
        assert "`tritrace init FOLDER" in refused(tritrace, *command, tmp_path / "curriculum.yaml")
    assert "tritrace curriculum or tritrace eval writes one" in refused(tritrace, "report", tmp_path)
    for words in (["export", tmp_path, "--to", tmp_path / "x"], ["serve", tmp_path]):
        assert "`tritrace curriculum RECIPE` trains all three" in refused(tritrace, *words)
    assert "give either a stage's folder" in refused(tritrace, "serve")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"steps": 3}', '{"steps": [{"name": 1}]}', '{"steps": [{}]}'])
def test_an_edited_way_is_no_way(tmp_path, text):
    (tmp_path / "way.json").write_text(text)
    assert way_back(["report", str(tmp_path)]) == ""

"""A working folder: read, fitted, written down; made again where something is missing, and kept where it is there."""

import json

import pytest

from data.files.json_lines import read_rows
from data.rows import Query
from protocol.errors import UserError
from stages.arguments.stage import parse_stage
from stages.cli.next_step import tell_next
from stages.curriculum import read_curriculum
from stages.fit.model import shape_sources
from stages.way.begin import Wanted, begin, wanted_in
from stages.way.steps import count_done
from tests.data.labelled.vlguard_like import make
from tests.data.sources.samples import put_csv, put_pictures


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make(tmp_path_factory.mktemp("vlguard"), 30)


def begun(folder, **fields):
    lines = []
    steps = begin(folder, Wanted(**{"model": "pocket", **fields}), f"tritrace init {folder}", lines.append)
    return steps, "\n".join(lines)


def test_a_named_source_becomes_a_folder_with_everything_to_go_on(tmp_path, source):
    steps, said = begun(tmp_path / "own", data="vlguard", origin=str(source))
    names = ["data template | data synthesize", "data check", "preflight", "curriculum", "report", "export", "serve"]
    assert [step.name for step in steps] == names
    queries = read_rows(tmp_path / "own" / "data" / "queries.jsonl", Query)
    assert {query.split for query in queries} == {"train", "validation"}
    assert f"{len(queries)} queries" in said
    curriculum = read_curriculum(tmp_path / "own" / "recipes" / "curriculum.yaml")
    for stage in ("sft", "dpo", "grpo"):
        arguments, _ = curriculum.parse(stage, 0)
        assert arguments.data == str(tmp_path / "own" / "data" / f"{stage}.jsonl")
        assert arguments.output == str(tmp_path / "own" / "run" / "seed-0" / stage)
    page = (tmp_path / "own" / "README.md").read_text()
    assert all(step.command in page for step in steps)


def test_a_table_of_ones_own_is_guessed_shown_and_can_be_corrected(tmp_path):
    put_pictures(tmp_path / "raw", *(f"{number}.png" for number in range(20)))
    rows = [
        {"file_name": f"{number}.png", "question": f"What is number {number}?", "level": "low", "response": "A cat."}
        for number in range(20)
    ]
    table = put_csv(tmp_path / "raw" / "own.csv", rows)
    steps, said = begun(tmp_path / "own", data=str(table))
    assert "guessed: the question: column question" in said
    assert "not used: level" in said
    assert steps[0].name == "data label"  # nothing is labelled
    assert f"tritrace data label {tmp_path}" in steps[0].command
    described = tmp_path / "own" / "source.yaml"
    text = described.read_text()
    described.write_text(text + "  labels:\n    combined_risk: {column: level, map: {low: safe}}\n")
    for path in sorted((tmp_path / "own" / "data").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    steps, said = begun(tmp_path / "own", data=str(table))
    assert steps[0].name == "data template | data synthesize"
    assert "labelled: 20" in said


def test_a_folder_of_pictures_with_one_question(tmp_path):
    put_pictures(tmp_path / "raw", "a.png", "deep/b.png")
    begun(tmp_path / "own", data=str(tmp_path / "raw"), question="Is this dangerous?")
    queries = read_rows(tmp_path / "own" / "data" / "queries.jsonl", Query)
    assert [query.text for query in queries] == ["Is this dangerous?"] * 2


def test_nothing_is_asked_twice_and_what_is_there_is_kept(tmp_path, source):
    folder = tmp_path / "own"
    begun(folder, data="vlguard", origin=str(source))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "recipes" / "sft.yaml").unlink()
    (folder / "recipes" / "grpo.yaml").write_text("changed: by hand\n")
    wanted = wanted_in(folder, {"data": None, "model": None})
    begin(folder, wanted, "", lambda _: None)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.pop(folder / "recipes" / "grpo.yaml") == b"changed: by hand\n"
    before.pop(folder / "recipes" / "grpo.yaml")
    assert after == before


@pytest.mark.parametrize("shape", ["qwen2.5-vl-3b"])
def test_recipes_of_a_real_model_are_those_that_fit_the_card(tmp_path, source, shape):
    name = shape_sources()[shape]["hub"]
    begun(tmp_path / "own", data="vlguard", origin=str(source), model=name, card="24")
    path = tmp_path / "own" / "recipes" / "grpo.yaml"
    arguments, _ = parse_stage("grpo", ["--config", str(path)])
    assert (arguments.model, arguments.card_gib) == (name, 24)
    assert arguments.data == str(tmp_path / "own" / "data" / "grpo.jsonl")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": "vlgard"}, "vlguard"),
        ({"data": "vlguard"}, "--from"),
        ({"data": "no/such/file.csv"}, "no such file or folder"),
        ({"model": "qwen2.5-vl-3b"}, "--card"),
        ({"model": "qwen2.5-vl-3b", "card": "4"}, "tritrace fit"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_made(tmp_path, source, fields, words):
    given = {"data": "vlguard", "origin": "" if "data" in fields else str(source), **fields}
    with pytest.raises(UserError, match=words):
        begun(tmp_path / "own", **given)
    assert not (tmp_path / "own").exists()


def test_without_data_it_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match="--data"):
        wanted_in(tmp_path, {"data": None})


def test_a_command_prints_the_next_one_and_ticks_itself_off(tmp_path, source, capsys):
    folder = tmp_path / "own"
    steps, _ = begun(folder, data="vlguard", origin=str(source))
    tell_next("data synthesize", folder / "data")
    assert capsys.readouterr().err == f"next: {steps[1].command}\n"
    page = (folder / "README.md").read_text()
    assert "- [x] **data template | data synthesize**" in page
    assert "- [ ] **data check**" in page
    for made in ("data/validation.jsonl", "run/seed-0/grpo/manifest.json"):
        (folder / made).parent.mkdir(parents=True, exist_ok=True)
        (folder / made).touch()
    tell_next("serve", folder / "run")
    assert capsys.readouterr().err == ""
    (folder / "way.json").write_text("[]")
    tell_next("data check", folder / "data", "another")
    assert capsys.readouterr().err == "next: another\n"
    (folder / "way.json").unlink()
    tell_next("data check", folder / "data", "another")
    assert capsys.readouterr().err == "next: another\n"
    assert json.loads((folder / "init.json").read_text())["data"] == "vlguard"


def test_a_command_that_failed_is_corrected_by_what_was_wrong_with_it(tmp_path):
    put_pictures(tmp_path / "pictures", *(f"{number}.png" for number in range(9)))
    rows = [{"image": f"{number}.png", "question": f"What is number {number}?"} for number in range(9)]
    table = put_csv(tmp_path / "questions.csv", rows)
    with pytest.raises(UserError, match="--image-root FOLDER says what"):
        begun(tmp_path / "own", data=str(table))
    wanted = wanted_in(tmp_path / "own", {"image_root": str(tmp_path / "pictures")})
    said = []
    begin(tmp_path / "own", wanted, "", said.append)
    assert f"{tmp_path}/own/source.yaml: kept; it says what the columns are" in said
    assert len(read_rows(tmp_path / "own" / "data" / "queries.jsonl", Query)) == 9


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hold_out": 0.3}, r"own/data: was made with --hold-out 0.1; delete it to make it with --hold-out 0.3"),
        ({"data": "other.csv"}, r"own/data: was made with --data vlguard; delete it to make it with --data other.csv"),
        ({"model": "qwen2.5-vl-3b", "card": "24"}, r"own/recipes: was made with --model pocket; delete it to"),
    ],
)
def test_what_was_made_from_something_else_is_not_taken_for_it(tmp_path, source, fields, words):
    begun(tmp_path / "own", data="vlguard", origin=str(source))
    before = (tmp_path / "own" / "init.json").read_text()
    with pytest.raises(UserError, match=words):
        begun(tmp_path / "own", **{"data": "vlguard", "origin": str(source), **fields})
    assert (tmp_path / "own" / "init.json").read_text() == before


def test_given_again_it_keeps_the_ticks_of_what_is_still_there(tmp_path, source):
    folder = tmp_path / "own"
    steps, _ = begun(folder, data="vlguard", origin=str(source))
    assert count_done(folder, steps) == 0
    (folder / "data" / "validation.jsonl").touch()
    for name in ("data template", "data check", "preflight"):
        tell_next(name, folder)
    page = (folder / "README.md").read_text()
    begun(folder, data="vlguard", origin=str(source))
    assert (folder / "README.md").read_text() == page
    assert count_done(folder, steps) == 3
    (folder / "data" / "validation.jsonl").unlink()
    begun(folder, data="vlguard", origin=str(source))
    assert (folder / "README.md").read_text().count("- [x]") == 1


def test_data_without_answers_needs_a_teacher_first(tmp_path):
    rows = [{"question": f"What is number {number}?", "harmful": "no"} for number in range(20)]
    steps, _ = begun(tmp_path / "own", data=str(put_csv(tmp_path / "questions.csv", rows)))
    assert steps[0].command.startswith(f"tritrace data synthesize --data {tmp_path}/own/data/queries.jsonl")
    assert f"tritrace data template {tmp_path}/own/data" in (tmp_path / "own" / "README.md").read_text()

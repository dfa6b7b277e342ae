"""An export has the content of the rows, in the documented fields of each trainer, with pictures."""

import json
from io import BytesIO

import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from data.building.build import Sizes, build_pocket
from data.exchange.export import FORMATS, export
from data.files.json_lines import RowsError, read_rows, row_to_json
from data.rows import PreferencePair, Query, RolloutPrompt, SFTRow
from data.sources.declared.registry import find_source
from data.sources.importing import ImportJob, run_import
from data.sources.reading.local import read_local
from stages.__main__ import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    build_pocket(data, Sizes(sft=3, dpo=2, grpo=3, validation=1, test=1), seed=0)
    return data


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    out = {form: tmp_path_factory.mktemp(form) / "out" for form in FORMATS}
    return {form: (export(folder, form, path), path) for form, path in out.items()}


def pixels(source):
    with Image.open(source) as image:
        return image.convert("RGB").tobytes()


def row_pixels(row, folder):
    return [pixels(folder / image) for image in row.images]


def struct_pixels(structs):
    return [pixels(BytesIO(each["bytes"])) for each in structs]


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_is_exported(form, exported, folder):
    done, output = exported[form]
    assert done.left_out == []
    assert done.num_rows
    for name, count in done.num_rows.items():
        assert (output / name).is_file()
        lines = (folder / f"{name.rsplit('.', 1)[0]}.jsonl").read_text(encoding="utf-8").splitlines()
        assert count == len(lines) > 0
    files = {*done.num_rows, *(each.split(" ", 1)[0] for each in done.passed_over)}
    assert {each.rsplit(".", 1)[0] for each in files} == {"sft", "dpo", "grpo", "validation", "test", "queries"}


@pytest.mark.parametrize(("name", "row_type"), [("sft", SFTRow), ("dpo", PreferencePair), ("grpo", RolloutPrompt)])
def test_trl_parquet_comes_back_as_the_rows(name, row_type, exported, folder):
    table = parquet.read_table(exported["trl"][1] / f"{name}.parquet")
    rows = read_rows(folder / f"{name}.jsonl", row_type)
    assert any(row.images for row in rows)
    for row, record in zip(rows, table.to_pylist(), strict=True):
        assert struct_pixels(record.pop("images")) == row_pixels(row, folder)
        whole = row_to_json(row)
        assert record == {column: whole[column] for column in record}
        turns = {SFTRow: {"completion"}, PreferencePair: {"chosen", "rejected"}, RolloutPrompt: {"labels", "plan"}}
        assert {"id", "prompt"} | turns[row_type] <= set(record)


def test_trl_parquet_declares_the_types_of_datasets(exported):
    """The metadata equals that of `datasets.Features(...).arrow_schema`."""
    schema = parquet.read_schema(exported["trl"][1] / "sft.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == {"feature": {"mode": "RGB", "_type": "Image"}, "_type": "List"}
    text = {"dtype": "string", "_type": "Value"}
    assert features["prompt"] == {"feature": {"role": text, "content": text}, "_type": "List"}
    assert features["id"] == text


def test_llama_factory_files_have_their_documented_fields(exported, folder):
    output = exported["llama-factory"][1]
    info = json.loads((output / "dataset_info.json").read_text())
    shared = {"messages": "conversations", "system": "system", "images": "images"}
    assert info == {
        "tritrace_dpo": {
            "file_name": "dpo.json",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": shared | {"chosen": "chosen", "rejected": "rejected"},
        },
        "tritrace_sft": {"file_name": "sft.json", "formatting": "sharegpt", "columns": shared},
    }
    for row, record in zip(
        read_rows(folder / "sft.jsonl", SFTRow), json.loads((output / "sft.json").read_text()), strict=True
    ):
        human, gpt = record["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"] == "<image>" * len(row.images) + row.prompt[-1]["content"]
        assert (record["system"], gpt["value"]) == (row.prompt[0]["content"], row.completion[0]["content"])
        assert [pixels(output / image) for image in record["images"]] == row_pixels(row, folder)
    for row, record in zip(
        read_rows(folder / "dpo.jsonl", PreferencePair), json.loads((output / "dpo.json").read_text()), strict=True
    ):
        (human,) = record["conversations"]
        assert human["value"].count("<image>") == len(record["images"])
        assert record["chosen"] == {"from": "gpt", "value": row.chosen[0]["content"]}
        assert record["rejected"] == {"from": "gpt", "value": row.rejected[0]["content"]}


def test_ms_swift_files_have_their_documented_fields(exported, folder):
    output = exported["ms-swift"][1]
    lines = {
        name: (output / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("sft", "dpo", "grpo")
    }
    read = {name: [json.loads(line) for line in found] for name, found in lines.items()}
    roles = {name: [message["role"] for message in rows[0]["messages"]] for name, rows in read.items()}
    assert roles == {
        "sft": ["system", "user", "assistant"],
        "dpo": ["system", "user", "assistant"],
        "grpo": ["system", "user"],
    }
    pairs = read_rows(folder / "dpo.jsonl", PreferencePair)
    assert [each["rejected_response"] for each in read["dpo"]] == [row.rejected[0]["content"] for row in pairs]
    assert [each["messages"][-1]["content"] for each in read["dpo"]] == [row.chosen[0]["content"] for row in pairs]
    for row, record in zip(read_rows(folder / "grpo.jsonl", RolloutPrompt), read["grpo"], strict=True):
        assert json.loads(record["labels"]) == row.labels.to_json()
        assert (record["plan"], record["query"]) == (row.plan, row.query)
        assert [pixels(image) for image in record["images"]] == row_pixels(row, folder)


def test_verl_parquet_has_its_documented_columns(exported, folder):
    records = parquet.read_table(exported["verl"][1] / "grpo.parquet").to_pylist()
    rows = read_rows(folder / "grpo.jsonl", RolloutPrompt)
    for index, (row, record) in enumerate(zip(rows, records, strict=True)):
        assert set(record) == {"data_source", "prompt", "images", "ability", "reward_model", "extra_info"}
        assert record["reward_model"]["style"] == "rule"
        truth = json.loads(record["reward_model"]["ground_truth"])
        assert (truth["labels"], truth["plan"]) == (row.labels.to_json(), json.loads(row.plan))
        assert record["extra_info"]["index"] == index
        assert record["prompt"][-1]["content"] == "<image>" * len(row.images) + row.query
        assert struct_pixels(record["images"]) == row_pixels(row, folder)


def test_easyr1_files_come_back_through_the_import(exported, folder, tmp_path):
    output = exported["easyr1"][1]
    queries = tmp_path / "data" / "queries.jsonl"
    job = ImportJob(find_source("rl-json"), str(output), "train", queries, queries.parent / "images", output)
    run_import(job, read_local(output / "grpo.json", "train"), lambda _: None)
    rows = read_rows(folder / "grpo.jsonl", RolloutPrompt)
    for row, query in zip(rows, read_rows(queries, Query), strict=True):
        assert query.text == f"{row.prompt[0]['content']}\n\n{row.query}"
        assert json.loads(query.answers["reference"])["query"] == row.query
        assert [pixels(queries.parent / image) for image in query.images] == row_pixels(row, folder)


def broken_folder(folder, path):
    """Return a folder with rows that are good, unreadable, without their picture, and with a mark in the text."""
    (row, *_) = read_rows(folder / "sft.jsonl", SFTRow)
    good = row_to_json(row) | {"images": []}
    gone = good | {"images": ["images/gone.png"]}
    marked = good | {"completion": [{"role": "assistant", "content": "See <image>."}]}
    turns = good | {"prompt": [*good["prompt"], {"role": "assistant", "content": "x"}]}
    lines = [json.dumps(each) for each in (good, gone, marked, turns)]
    path.mkdir()
    (path / "sft.jsonl").write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n")
    return path


@pytest.mark.parametrize(
    ("form", "faults"),
    [
        ("llama-factory", ["sft.jsonl:2: not JSON", "No such file", "holds the text <image>", "one user turn"]),
        ("trl", ["sft.jsonl:2: not JSON", "No such file"]),
    ],
)
def test_a_row_that_a_format_cannot_hold_is_left_out_with_its_place(form, faults, folder, tmp_path):
    done = export(broken_folder(folder, tmp_path / "data"), form, tmp_path / "out")
    assert len(done.left_out) == len(faults)
    for bad, fault in zip(done.left_out, faults, strict=True):
        assert fault in str(bad)
        assert "sft.jsonl" in str(bad)


def test_what_cannot_be_exported_is_a_message(folder, tmp_path):
    with pytest.raises(RowsError, match="holds no row files"):
        export(tmp_path, "trl", tmp_path / "out")
    with pytest.raises(RowsError, match="is the data folder itself"):
        export(folder, "trl", folder)
    (tmp_path / "sft.jsonl").write_text((folder / "sft.jsonl").read_text())
    with pytest.raises(RowsError, match=r"nothing to export; verl holds RolloutPrompt, found sft\.jsonl"):
        export(tmp_path, "verl", tmp_path / "out")


def test_the_command_tells_what_it_wrote_and_left_out(folder, tmp_path):
    broken = broken_folder(folder, tmp_path / "data")
    command = ["data", "export", str(broken), "--format", "ms-swift", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "sft.jsonl: 1 rows" in result.output
    assert f"{broken / 'sft.jsonl'}:2: not JSON" in result.output

"""Only `make bench` times the benchmarks; with plain `pytest` each function runs once, untimed."""

import pytest

from data.building.build import Sizes, build_pocket
from data.files.json_lines import read_rows
from data.rows import SFTRow
from stages.pocket.model import PocketSizes, build_model, build_processor
from stages.pocket.tokenizer import train_tokenizer


@pytest.fixture
def benchmark(benchmark, pytestconfig):
    benchmark.disabled = benchmark.disabled or not pytestconfig.getoption("benchmark_only")
    return benchmark


def write_world(folder):
    """Write rows of the pocket world and a model of the pocket model's size."""
    build_pocket(folder / "data", Sizes(sft=60, dpo=30, grpo=100, validation=0, test=64), seed=0)
    rows = read_rows(folder / "data" / "sft.jsonl", SFTRow)
    tokenizer = train_tokenizer([text[0]["content"] for row in rows for text in (row.prompt, row.completion)])
    build_model(tokenizer, seed=0, sizes=PocketSizes()).save_pretrained(folder / "model")
    build_processor(tokenizer).save_pretrained(folder / "model")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    write_world(folder)
    return folder

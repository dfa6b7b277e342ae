"""A grid declares its cells, shows the worst training beside the mean, and records every opening of the test split."""

import json
from dataclasses import replace

import pytest

from eval.results.metrics import metric_by_name
from eval.results.samples import Sample
from eval.statistics.intervals import Estimate
from protocol import Labels
from protocol.errors import UserError
from stages.errors import StageError
from stages.grid import run
from stages.grid.declaration import read_grid
from stages.grid.page import OPENINGS, Opening, write_section
from stages.grid.results import Findings, bands, differences_table, metrics_table, trainings_table, worst
from stages.results.published import compared, read_bands, write_bands

GOOD = """
curriculum: curriculum.yaml
output: {output}
seeds: [0, 1]
machines:
  native: {{}}
  avx2: {{threads: 1, env: {{ATEN_CPU_CAPABILITY: avx2}}}}
bases: [7]
base_seeds: [1]
"""
OPENING = Opening("2026-01-02", "abc1234", "a processor", "tritrace grid grid.yaml --open-test")


@pytest.fixture
def declared(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GOOD.format(output=tmp_path / "out"))
    return read_grid(path)


def test_every_machine_has_the_shipped_base_and_the_first_the_others_too(declared):
    assert [cell.name for cell in declared.cells] == ["native", "avx2", "native-base-7"]
    assert [cell.seeds for cell in declared.cells] == [(0, 1), (0, 1), (1,)]
    assert declared.curriculum.name == "curriculum.yaml"
    assert declared.cells[1].machine.env == {"ATEN_CPU_CAPABILITY": "avx2"}


def test_everything_wrong_in_a_declaration_is_told_at_once(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("curriculm: x\noutput: y\nseeds: [a]\nmachines: {slow: {thread: 1, threads: 0, env: 3}}\n")
    with pytest.raises(StageError) as caught:
        read_grid(path)
    told = str(caught.value)
    for part in ("'curriculm'; did you mean curriculum?", "curriculum is missing", "seeds: expected", "'thread'",
                 "threads: expected a whole number from 1 on, found 0", "env: expected a mapping"):  # fmt: skip
        assert part in told


def test_a_cell_runs_in_an_environment_of_its_own(declared, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    native, avx2, _ = (run._environment(cell) for cell in declared.cells)
    assert native["OMP_NUM_THREADS"] == "5"
    assert "ATEN_CPU_CAPABILITY" not in native
    assert (avx2["OMP_NUM_THREADS"], avx2["ATEN_CPU_CAPABILITY"]) == ("1", "avx2")


def test_a_cell_that_fails_is_told_with_the_end_of_its_log_and_the_others_are_run(declared, monkeypatch, tmp_path):
    started = []

    class Ended:
        def __init__(self, command, *, env, stdout, **_):
            del env
            started.append(command[command.index("--output") + 1])
            stdout.write("a line\nthe reason\n")
            self.returncode = 2 if "avx2" in started[-1] else 0

    class Shared:
        data, model = tmp_path / "data", "MODEL"

    monkeypatch.setattr(run, "open_curriculum", lambda *_: Shared)
    monkeypatch.setattr(run, "_model", lambda *_: "MODEL")
    monkeypatch.setattr(run.subprocess, "run", Ended)
    with pytest.raises(StageError, match=r"avx2: ended with code 2 .*\n.*a line\nthe reason"):
        run.run_cells(declared, split="validation")
    assert len(started) == 3
    with pytest.raises(StageError, match="there is no cell fast; there are native, avx2, native-base-7"):
        run.run_cells(declared, split="validation", only=["fast"])


def sample(number, safety, refusal=0.0):
    scores = {"safety": safety, "refusal": refusal}
    return Sample(
        id=f"q{number}", kind="plain", query="", images=(), plan="", labels=Labels(combined_risk="safe"), response="",
        scores=scores, unscored={}, diagnostics=(), num_tokens=1, is_truncated=False,
    )  # fmt: skip


def stage(*safeties):
    """Return the samples of two trainings; each number is how many of twenty have the top score."""
    return [[sample(number, 3.0 if number < top else 2.0) for number in range(20)] for top in safeties]


@pytest.fixture
def findings():
    runs = {
        "native": {"base": stage(0), "sft": stage(10, 11), "dpo": stage(12, 12), "grpo": stage(18, 19)},
        "avx2": {"base": stage(0), "sft": stage(9, 10), "dpo": stage(11, 12), "grpo": stage(15, 18)},
        "native-base-7": {"base": stage(0), "sft": stage(8, 8), "dpo": stage(9, 9), "grpo": stage(14, 17)},
    }
    seeds = {"native": (0, 1), "avx2": (0, 1), "native-base-7": (4, 5)}
    return Findings("validation", runs, seeds, ("native", "avx2"))


def test_the_worst_single_training_stands_beside_the_pooled_mean_and_further_bases_are_not_pooled(findings):
    (line,) = [line for line in metrics_table(findings) if line.startswith("| Safety, top score")]
    cells = line.split(" | ")
    assert cells[-1].startswith("87.5 [")  # (18 + 19 + 15 + 18) of 80
    assert "<br>worst 70.0 [" in cells[-1]  # 14 of 20, on the further base


def test_differences_are_told_pooled_and_for_every_cell(findings):
    lines = [line for line in differences_table(findings) if line.startswith("| DPO to GRPO")]
    assert [line.split(" | ")[1] for line in lines] == ["pooled", "native", "avx2", "native-base-7"]
    assert lines[0].split(" | ")[2].startswith("+28.7 [")  # 70 of 80 from 47 of 80, 28.75
    trainings = trainings_table(findings)
    assert len(trainings) == 2 + 6
    assert trainings[-1].startswith("| native-base-7 | 5 |")


@pytest.mark.parametrize(("name", "expected"), [("safety", 1.0), ("attack_success", 9.0)])
def test_worse_is_what_the_metric_says(name, expected):
    each = [Estimate(value, 0.0, 10.0, 5, 1, 0) for value in (1.0, 9.0)]
    assert worst(metric_by_name[name], each).value == expected
    unscored = replace(each[0], value=None)
    assert worst(metric_by_name[name], [*each, unscored]) is unscored


def test_a_band_reaches_over_every_training_of_every_cell(findings):
    low, high = bands(findings)["grpo"]["safety"]
    metric = metric_by_name["safety"]
    single = [metric.estimate([each]) for runs in findings.runs.values() for each in runs["grpo"]]
    assert (low, high) == (min(one.low for one in single), max(one.high for one in single))


def test_a_new_run_is_as_published_or_the_numbers_outside_are_named(findings, tmp_path):
    path = tmp_path / "published.json"
    write_bands(bands(findings), path)
    published = read_bands(path)
    run_of = {
        "grpo": {name: metric.estimate(stage(18)) for name, metric in metric_by_name.items()},
        "sft": {name: metric.estimate(stage(20)) for name, metric in metric_by_name.items()},
    }
    told = compared(run_of, published)
    assert told[0].startswith("not as published: 1 of ")
    assert "Safety, top score after SFT: 100.0, published" in told[1]
    assert compared({"grpo": run_of["grpo"]}, published)[0].startswith("as published: all ")
    assert compared(run_of, read_bands(tmp_path / "none.json")) == []
    assert json.loads(path.read_text())["grpo"]["safety"][0] <= bands(findings)["grpo"]["safety"][0]


def test_a_section_is_replaced_and_the_openings_are_only_ever_added_to(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_section(path, "one", "first text", OPENING)
    write_section(path, "two", "other text")
    write_section(path, "one", "second text", replace(OPENING, commit="def5678"))
    page = path.read_text()
    assert "first text" not in page
    assert page.index("second text") < page.index("other text") < page.index(OPENINGS)
    assert [line for line in page.splitlines() if line.startswith("* 2026")] == [
        OPENING.line(),
        replace(OPENING, commit="def5678").line(),
    ]
    path.write_text(page.replace("<!-- one: end -->", ""))
    with pytest.raises(UserError, match="one of the comments"):
        write_section(path, "one", "x")

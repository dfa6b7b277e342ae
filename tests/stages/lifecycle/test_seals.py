"""A stage can be resumed only from a checkpoint whose files are all in its seal and unchanged."""

import json
import shutil

import pytest

from stages.lifecycle.resuming import SEAL, checkpoints, damage, seal, sound_checkpoint


@pytest.fixture
def output(tmp_path):
    for step in (2, 4):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        (folder / "ref").mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        (folder / "ref" / "adapter_config.json").write_text("{}")
        seal(folder)
    return tmp_path


def newest(output):
    return output / "checkpoints" / "checkpoint-4"


DAMAGES = {
    "no seal": (lambda folder: (folder / SEAL).unlink(), "is incomplete"),
    "a seal of nothing": (lambda folder: (folder / SEAL).write_text("{}"), "cannot be read, or names no file"),
    "a list": (lambda folder: (folder / SEAL).write_text("[1]"), "cannot be read, or names no file"),
    "half a seal": (lambda folder: (folder / SEAL).write_text('{"a'), "cannot be read, or names no file"),
    "a deep seal": (lambda folder: (folder / SEAL).write_text("[" * 100_000), "cannot be read, or names no file"),
    "a seal of other bytes": (lambda folder: (folder / SEAL).write_bytes(b"\xff\0"), "cannot be read"),
    "a file more": (lambda folder: (folder / "optimizer.bin").write_bytes(b"x"), "optimizer.bin is not named"),
    "a file less": (lambda folder: (folder / "trainer_state.json").unlink(), "trainer_state.json is missing"),
    "a folder for a file": (
        lambda folder: [(folder / "trainer_state.json").unlink(), (folder / "trainer_state.json").mkdir()],
        "trainer_state.json is missing",
    ),
    "another file": (lambda folder: (folder / "ref" / "adapter_config.json").write_text("[]"), "was changed"),
    "a hash that is a number": (
        lambda folder: (folder / SEAL).write_text(json.dumps({"trainer_state.json": 3})),
        "trainer_state.json was changed",
    ),
    "a name elsewhere": (
        lambda folder: (folder / SEAL).write_text(json.dumps({"../checkpoint-2/trainer_state.json": "x"})),
        "is missing",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_by_name(name, output):
    change, words = DAMAGES[name]
    assert sound_checkpoint(output) == (newest(output), {})
    change(newest(output))
    found, faults = sound_checkpoint(output)
    assert found == output / "checkpoints" / "checkpoint-2"
    assert words in faults[newest(output)]


def test_a_copy_that_a_user_made_is_none_of_the_checkpoints(output):
    for name in ("checkpoint-40 (copy)", "checkpoint-", "checkpoint-x", "checkpoint-\u0663", "checkpoint-1" + "0" * 30):
        shutil.copytree(newest(output), output / "checkpoints" / name)
    assert [path.name for path in checkpoints(output)] == ["checkpoint-4", "checkpoint-2"]


def test_what_a_file_manager_leaves_does_not_matter(output):
    (newest(output) / ".DS_Store").write_bytes(b"x")
    assert damage(newest(output)) is None

from dataclasses import replace

import pytest

from data.files.hashing import hash_folder
from eval.models.adapters import adapter_hash
from stages.errors import StageError
from stages.provenance.manifest import Manifest, read_manifest
from stages.provenance.trust import check_parent

MANIFEST = Manifest(
    stage="sft",
    model="some/model",
    model_revision="a" * 64,
    parent=None,
    recipe={"learning_rate": 0.1, "output": "here"},
    data={"rows": "1" * 64},
    seed=3,
    adapter="b" * 64,
)


def test_a_manifest_survives_the_disk(tmp_path):
    MANIFEST.write(tmp_path / "deep" / "manifest.json")
    assert read_manifest(tmp_path / "deep" / "manifest.json") == MANIFEST
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["manifest.json"]


def test_a_manifest_knows_the_language_and_the_packages_it_was_made_with():
    assert len(MANIFEST.protocol) == 16
    assert MANIFEST.versions["trl"].startswith("1.16")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "stage": "sft"}'])
def test_what_is_no_manifest_is_refused(text, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StageError, match=r"manifest\.json"):
        read_manifest(tmp_path / "manifest.json")


def test_differences_name_what_changed_and_nothing_cosmetic():
    other = replace(MANIFEST, seed=4, recipe={"learning_rate": 0.2, "output": "there"}, seconds=9.0)
    assert other.differences(MANIFEST) == ["recipe.learning_rate was 0.1, is 0.2", "seed was 3, is 4"]
    assert replace(MANIFEST, seconds=9.0).digest == MANIFEST.digest
    assert replace(MANIFEST, adapter="c" * 64).digest != MANIFEST.digest


def test_a_missing_parent_is_refused_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(StageError, match=r"no finished stage here.*tritrace dpo --config RECIPE --output"):
        check_parent(tmp_path / "dpo", model_revision="a" * 64, child="grpo")


def test_a_parent_of_another_trace_language_is_refused_naming_both(tmp_path):
    replace(MANIFEST, protocol="0123456789abcdef").write(tmp_path / "manifest.json")
    with pytest.raises(StageError) as caught:
        check_parent(tmp_path, model_revision="a" * 64, child="dpo")
    assert "0123456789abcdef" in str(caught.value)
    assert MANIFEST.protocol in str(caught.value)


def test_a_parent_on_another_base_model_is_refused(tmp_path):
    (tmp_path / "adapter").mkdir()
    manifest = replace(MANIFEST, adapter=adapter_hash(tmp_path))
    manifest.write(tmp_path / "manifest.json")
    assert check_parent(tmp_path, model_revision="a" * 64, child="dpo") == manifest
    with pytest.raises(StageError, match="trained on the base model some/model"):
        check_parent(tmp_path, model_revision="c" * 64, child="dpo")


def test_the_hash_of_a_folder_changes_with_names_and_contents(tmp_path):
    hashes = set()
    for name, text in (("a", "1"), ("a", "2"), ("b", "2")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        hashes.add(hash_folder(folder))
    assert len(hashes) == 3

"""Every set of the catalogue is read from its real columns, with labels as documented."""

import pytest

from data.files.json_lines import read_rows
from data.pictures.images import open_image
from data.rows import Query
from data.sources.declared.registry import built_in_sources, find_source
from data.sources.declared.spec import parse_spec
from data.sources.importing import ImportJob, run_import
from data.sources.reading.local import read_local
from tests.data.sources import samples

SETS = {
    # name of the sample: (source, kinds of the queries, left-out records)
    "beavertails_v": ("beavertails-v", ["beavertails-v"] * 2, {"duplicate": 1}),
    "spa_vl": ("spa-vl", ["spa-vl"] * 2, {}),
    "vlguard": (
        "vlguard",
        ["unsafe-picture", "safe-picture-safe-text", "safe-picture-unsafe-text"],
        {"duplicate": 1},
    ),
    "mm_safetybench": (
        "mm-safetybench",
        ["mm-safetybench-sd", "mm-safetybench-sd-typo", "mm-safetybench-typo"] * 2,
        {},
    ),
    "mssbench": (
        "mssbench",
        [*["situation-safe"] * 2, *["situation-unsafe"] * 2, "embodied-safe", "embodied-unsafe"],
        {},
    ),
    "siuo": ("siuo", ["safe-alone-unsafe-together"], {}),
    "figstep": ("figstep", ["typographic"] * 2, {"image: No such file or directory": 1}),
    "safetag_vl_3k": ("safetag-vl-3k", ["tags-safe-safe-unsafe"], {"text_tag: expected one of safe, unsafe": 1}),
    "jailbreakv_28k": ("jailbreakv-28k", ["jailbreak-Template"], {"image: No such file or directory": 1}),
    "xstest": ("xstest", ["xstest-homonyms", "xstest-contrast_homonyms"], {}),
    "harmbench": (
        "harmbench",
        ["harmbench-standard", "harmbench-contextual"],
        {"asks for a protected text, which no harm category covers": 1},
    ),
    "harmbench_multimodal": ("harmbench", ["harmbench-multimodal"], {}),
    "llava_instruct": ("llava-instruct", ["instruction"] * 2, {}),
    "scienceqa": ("scienceqa", ["science"] * 2, {}),
    "rl_json": ("rl-json", ["rl"] * 2, {}),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Import every sample once."""
    found = {}
    for sample, (name, *_) in SETS.items():
        folder = tmp_path_factory.mktemp(sample)
        path, options, split = getattr(samples, sample)(folder / "raw")
        root = options.get("image_root", path if path.is_dir() else path.parent)
        output = folder / "data" / "queries.jsonl"
        job = ImportJob(find_source(name), str(path), split, output, output.parent / "images", root)
        progress = run_import(job, read_local(path, split), lambda _: None)
        found[sample] = (read_rows(output, Query), progress, output)
    return found


@pytest.mark.parametrize("sample", SETS)
def test_a_set_is_read_from_its_real_columns(sample, imported):
    _, kinds, left_out = SETS[sample]
    queries, progress, output = imported[sample]
    assert [query.kind for query in queries] == kinds
    assert progress.reasons == left_out
    spec = find_source(SETS[sample][0])
    for query in queries:
        assert (query.provenance.source, query.provenance.licence) == (spec.name, spec.licence)
        assert query.provenance.citation == spec.citation
        assert "/" not in query.provenance.origin
        assert "<image>" not in query.text
        for image in query.images:
            assert open_image(image, output.parent).size == (8, 6)


def test_every_source_of_the_catalogue_has_a_sample():
    assert {name for name, *_ in SETS.values()} == set(built_in_sources())
    assert len(built_in_sources()) >= 14


def labels(imported, sample, number=0):
    return imported[sample][0][number].labels


def test_labels_mean_what_the_sets_say(imported):
    assert labels(imported, "beavertails_v").combined_risk == "unsafe"
    assert labels(imported, "beavertails_v", 1).combined_risk is None
    unsafe, safe, mixed = imported["vlguard"][0]
    assert (unsafe.labels.image_risk, unsafe.labels.text_risk, unsafe.labels.category) == ("unsafe", None, "violence")
    assert (safe.labels.decision, safe.honest_answer) == ("comply", "A cat.")
    assert (mixed.labels.image_risk, mixed.labels.text_risk, mixed.honest_answer) == ("safe", "unsafe", "I will not.")
    assert labels(imported, "safetag_vl_3k").decision == "refuse"
    assert labels(imported, "siuo").combined_risk == "unsafe"
    assert imported["siuo"][0][0].answers == {"reference": "Better not."}
    assert labels(imported, "jailbreakv_28k").text_risk == "unsafe"
    assert [labels(imported, "xstest", place).decision for place in (0, 1)] == ["comply", "refuse"]


def test_advice_is_not_called_harm(imported):
    assert [labels(imported, "figstep", place).combined_risk for place in (0, 1)] == ["unsafe", None]
    assert [labels(imported, "mm_safetybench", place).combined_risk for place in (0, 3)] == ["unsafe", None]


def test_splits_are_ours(imported):
    splits = {sample: {query.split for query in queries} for sample, (queries, *_) in imported.items()}
    assert splits["scienceqa"] == {"train", "validation"}
    assert splits["vlguard"] == {"train"}
    assert splits["xstest"] == splits["mssbench"] == splits["jailbreakv_28k"] == {"test"}


def test_a_question_with_choices_has_its_answer_as_fact(imported):
    query = imported["scienceqa"][0][0]
    assert query.text.endswith("(A) Ohio\n(B) Utah")
    assert query.labels.facts == ("Utah",)
    assert query.images == ()


def test_a_conversation_gives_its_first_exchange(imported):
    query = imported["llava_instruct"][0][0]
    assert (query.text, query.answers["comply"]) == ("What is this?", "A cat.")


@pytest.mark.parametrize("spec", built_in_sources().values(), ids=lambda spec: spec.name)
def test_a_built_in_source_says_where_it_comes_from_and_what_is_wrong_with_it(spec):
    assert spec.reference.startswith("https://")
    assert spec.notes
    assert spec.licence
    assert spec.citation


def test_a_source_of_ones_own_takes_a_few_lines():
    rows = "rows:\n- {kind: plain, text: q, labels: {decision: comply}}\n"
    spec = parse_spec(f"name: mine\nlicence: MIT\ncitation: me\n{rows}", "mine.yaml")
    assert spec.label_names == ("decision",)
    assert spec.modality == "text"

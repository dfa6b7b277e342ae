"""The number of tokens of pictures: counted without scaling, and within the given bounds."""

from itertools import product

import pytest
from PIL import Image
from trl.data_utils import prepare_multimodal_messages

from data.files.json_lines import read_rows
from data.pictures.images import open_image
from data.rows import RolloutPrompt, SFTRow
from eval.families import family_of, scaling_of
from eval.families.room import largest_picture, most_tokens
from eval.families.scaling import AREA, UNKNOWN, replacements
from eval.models.loading import load_config
from eval.models.options import LoadOptions
from eval.models.reading import ModelError
from eval.policies.checkpoint import HFPolicy
from stages.inputs.lengths import image_tokens, row_lengths

SIDES = (9, 31, 84, 173)
MARK = {"gemma3": "<image_soft_token>", "internvl3.5": "<IMG_CONTEXT>"}
# Maximum pixels, and the tokens of a square picture with 560 pixels a side, computed by hand.
BOUNDS = {
    "qwen2.5-vl": (4 * 28 * 28, 4),  # merged patches of 28
    "qwen3-vl": (4 * 32 * 32, 4),  # merged patches of 32
    "qwen3.5": (4 * 32 * 32, 4),
    "qwen3.5-thinking": (4 * 32 * 32, 4),
    "smolvlm2": (2 * 2 * 28 * 28 + 100, (2 * 2 + 1) * 4),  # tiles of 28 plus one for the whole picture, 4 tokens each
    "internvl3.5": (4 * 28 * 28, (4 + 1) * 4),  # the same
    "llava-onevision": (
        2 * 2 * 28 * 28,
        16 + 8 * 8 + 8,
    ),  # the whole picture, a grid of 2 x 2, and an end token for each of its lines
}


def tokens_of(processor, name, *pictures):
    """Return the number of image tokens of a row, as the processor writes it."""
    messages = [{"role": "user", "content": "?"}]
    talk = prepare_multimodal_messages(messages, images=list(pictures))
    text = processor.apply_chat_template(talk, tokenize=False)
    ids = processor(text=[text], images=[list(pictures)])["input_ids"][0]
    mark = MARK.get(name) or processor.image_token
    return list(ids).count(processor.tokenizer.convert_tokens_to_ids(mark))


def test_rows_are_counted_as_the_processor_writes_them(case):
    processor = case.processor()
    rows = read_rows(case.data / "sft.jsonl", SFTRow)
    lengths = row_lengths(rows, processor, case.data)
    for row in rows:
        images = [open_image(source, case.data) for source in row.images]
        talk = [*row.prompt, *row.completion]
        options = {}
        if case.sees:
            talk = prepare_multimodal_messages(talk, images=images)
            options = {"images": [images]} if images else {}
        text = processor.apply_chat_template(talk, tokenize=False)
        ids = processor(text=[text], add_special_tokens=False, **options)["input_ids"][0]
        assert lengths[row.id] == len(ids), row.id
    if case.sees:
        found = image_tokens(rows, processor, case.data)
        assert [bool(found[row.id]) for row in rows] == [bool(row.images) for row in rows]


def test_every_size_is_counted_without_scaling(seeing):
    processor = seeing.processor()
    for size in product(SIDES, SIDES):
        picture = Image.new("RGB", size[::-1])
        for count in (1, 2):
            texts = replacements(scaling_of(processor), processor, [size] * count)
            mark = MARK.get(seeing.name) or processor.image_token
            found = sum(text.count(mark) for text in texts)
            assert found == tokens_of(processor, seeing.name, *[picture] * count), (size, count)


def test_a_processor_that_is_not_in_the_table_is_run_to_count(seeing):
    processor = seeing.processor()
    sizes = [(57, 100), (31, 28)]
    assert replacements(UNKNOWN, processor, sizes) == replacements(scaling_of(processor), processor, sizes)


def test_bounds_decide_the_tokens_of_a_picture(seeing):
    picture = Image.new("RGB", (560, 560))
    if seeing.name == "gemma3":
        with pytest.raises(ModelError, match="makes 4 tokens of every picture, whatever its size; leave out"):
            seeing.processor(options=LoadOptions(max_pixels=784))
        return
    most, expected = BOUNDS[seeing.name]
    bounded = LoadOptions(max_pixels=most)
    assert tokens_of(seeing.processor(options=bounded), seeing.name, picture) == expected
    assert tokens_of(seeing.processor(), seeing.name, picture) > expected
    policy = HFPolicy(seeing.model, batch_size=4, max_new_tokens=2, dtype="float32", label="", options=bounded)
    prompts = read_rows(seeing.data / "grpo.jsonl", RolloutPrompt)
    assert len(policy.respond(prompts, seeing.data)) == len(prompts)  # the model agrees on the number of tokens


@pytest.mark.parametrize("budget", [1, 5, 12, 30, 70, 100])
def test_the_largest_picture_is_known_from_the_configuration_alone(budget, seeing):
    """What `tritrace fit` counts on: under the bound it finds, no shape of picture becomes more tokens than it says."""
    config = load_config(str(seeing.model))
    if family_of(config).scaling is AREA:
        budget = max(budget, 30)  # a strip keeps a patch a side, whatever the bound
    found = largest_picture(family_of(config).scaling, config, budget)
    options = LoadOptions() if found.max_pixels is None else LoadOptions(max_pixels=found.max_pixels)
    processor = seeing.processor(options=options)
    mark = MARK.get(seeing.name) or processor.image_token
    sides = (30, 90, 180, 420, 840)
    texts = (replacements(scaling_of(processor), processor, [size]) for size in product(sides, sides))
    most = max(text.count(mark) for (text,) in texts)
    assert 0.7 * found.tokens <= most <= found.tokens
    smallest = largest_picture(family_of(config).scaling, config, 1)
    assert found.tokens <= budget or found == smallest
    if found.max_pixels is not None:
        assert most_tokens(family_of(config).scaling, config, found.max_pixels) == found.tokens


@pytest.mark.parametrize(
    ("name", "bounds", "words"),
    [
        ("smolvlm2", {"min_pixels": 784}, "scales every picture up to its longest edge; leave out min_pixels"),
        ("smolvlm2", {"max_pixels": 700}, "tiles of 28 x 28; max_pixels is 700, give 784 or more"),
        ("internvl3.5", {"max_pixels": 700}, "tiles of 28 x 28; max_pixels is 700, give 784 or more"),
        ("llava-onevision", {"max_pixels": 700}, "has grids of 784 to 7,056 pixels, none within the bounds"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(name, bounds, words, case_of):
    with pytest.raises(ModelError, match=words):
        case_of(name).processor(options=LoadOptions(**bounds))


@pytest.mark.parametrize(
    ("name", "least", "expected"),
    [("qwen2.5-vl", 9 * 28 * 28, 9), ("internvl3.5", 4 * 28 * 28, (4 + 1) * 4)],
)
def test_small_pictures_are_scaled_up(name, least, expected, case_of):
    case = case_of(name)
    picture = Image.new("RGB", (28, 28))
    assert tokens_of(case.processor(), name, picture) < expected
    assert tokens_of(case.processor(options=LoadOptions(min_pixels=least)), name, picture) == expected

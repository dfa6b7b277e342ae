"""All parts of the system see the same pixels of a picture, for any file format."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.pictures.images import data_uri, ground_of, open_image
from data.rows import Query, SFTRow
from data.teacher.prompting import opening
from eval.evaluation import _read_images, score_samples
from eval.judges import RuleJudge
from eval.policies.base import Generation
from eval.policies.endpoint import EndpointError, EndpointPolicy, EndpointSettings, chat_messages
from eval.report.pictures import Album, picture_uri
from protocol import Plan
from stages.cli.candidates import checkpoint_of
from stages.cli.options import CheckpointOptions
from stages.cli.rows.generated.filtering import _pictures
from stages.inputs.columns import to_dataset
from stages.inspection.samples import inspect_sample
from tests.data.pictures.test_pixels import RAMP, TRANSPARENT, words
from tests.eval.prompts import pocket_prompts
from tests.stages.conftest import PROVENANCE


@pytest.fixture
def folder(tmp_path):
    for name, (image, options) in TRANSPARENT.items():
        image.save(tmp_path / name, **options)
    return tmp_path


def pixels(uri, folder):
    return np.asarray(open_image(uri, folder), dtype=int)


@pytest.mark.parametrize("ground", ["white", "#808080"])
def test_everybody_is_shown_the_same_pixels(ground, folder):
    """Training, policies, judges, endpoints, teachers, filters, Inspect and the report, for many unusual files."""
    exif = Image.Exif()
    exif[0x0112] = 6
    words("RGB", "black", "white").save(folder / "turned.png", exif=exif)
    Image.fromarray(RAMP).save(folder / "grey16.png")
    names = (*TRANSPARENT, "turned.png", "grey16.png")
    message = ({"role": "user", "content": "Read it."},)
    row = SFTRow("a", "a", "plain", "train", message, ({"role": "assistant", "content": "x"},), names, "", PROVENANCE)
    trained = to_dataset([row], folder, ground)[0]["images"]
    prompt = pocket_prompts(1)[0]
    prompt = replace(prompt, images=names)
    judged = [_read_images(names, folder, ground), _pictures(names, folder, ground)]
    inspected = [
        part.image for part in inspect_sample(prompt, folder, ground).input[-1].content if part.type == "image"
    ]
    query = Query("q", "Read it.", "plain", "train", images=names)
    told = opening(query, Plan.from_json(prompt.plan), folder, ground=ground)[-1]["content"]
    asked = chat_messages(prompt, folder, ground)[-1]["content"]
    sent = [[part["image_url"]["url"] for part in content if part["type"] == "image_url"] for content in (told, asked)]
    for place, name in enumerate(names):
        wanted = np.asarray(open_image(name, folder, ground), dtype=int)
        assert trained[place].mode == "RGB"
        assert (np.asarray(trained[place], dtype=int) == wanted).all(), name
        uris = [*(data_uri(each[place]) for each in judged), *(each[place] for each in (*sent, inspected))]
        for uri in uris:
            assert (pixels(uri, folder) == wanted).all(), name
        shown = pixels(picture_uri(name, folder, 400, ground), folder)
        assert np.abs(shown - wanted).mean() < 4, name  # WebP loses a little


def test_a_report_shows_pictures_on_the_ground_of_their_evaluation(folder):
    """The same file on two backgrounds is two pictures."""
    album = Album([("rgba.png", "white"), ("rgba.png", "grey")], folder)
    places = [album.place("rgba.png", ground) for ground in ("white", "grey")]
    corners = [open_image(album.uris[place], folder).getpixel((0, 0)) for place in places]
    assert corners == [(255, 255, 255), (128, 128, 128)]


def test_a_sample_says_on_which_ground_its_pictures_were_shown(folder):
    prompt = replace(pocket_prompts(1)[0], images=("rgba.png",))
    answered = [Generation("x", 1, is_truncated=False)]
    (sample,) = score_samples([prompt], answered, folder, RuleJudge(), ground="grey")
    assert sample.picture_ground == "grey"
    policy = EndpointPolicy(EndpointSettings(url="http://127.0.0.1:9/v1", model="m", picture_ground="grey"))
    assert ground_of(policy) == "grey"
    with pytest.raises(
        EndpointError, match="picture_ground: expected a colour such as white or #808080, found 'mauvy'"
    ):
        EndpointPolicy(EndpointSettings(url="http://127.0.0.1:9/v1", model="m", picture_ground="mauvy"))


def test_the_command_line_sets_the_ground_where_no_recipe_says_it(tiny_model_path):
    chosen = CheckpointOptions(model=str(tiny_model_path))
    candidate = checkpoint_of(chosen, batch_size=1, max_new_tokens=4, picture_ground="grey")
    assert candidate.identity["picture_ground"] == "grey"
    assert candidate.load().picture_ground == "grey"
    assert "picture_ground" not in checkpoint_of(chosen, batch_size=1, max_new_tokens=4).identity


def test_a_stage_puts_transparency_on_the_ground_of_its_recipe(folder):
    message = ({"role": "user", "content": "Read it."},)
    row = SFTRow("a", "a", "plain", "train", message, message, ("rgba.png",), "", PROVENANCE)
    (grey,) = to_dataset([row], folder, "grey")[0]["images"]
    assert grey.getpixel((0, 0)) == (128, 128, 128)

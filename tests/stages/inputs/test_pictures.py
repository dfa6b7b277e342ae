"""Everybody who looks at a picture is shown the same pixels, whatever its file holds."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.images import data_uri, open_image, portable_uri
from data.rows import SFTRow
from eval.evaluation import _read_images
from eval.report.pictures import picture_uri
from stages.inputs.columns import to_dataset
from stages.inspection.samples import inspect_sample
from tests.data.test_pixels import RAMP, TRANSPARENT, words
from tests.eval.prompts import pocket_prompts
from tests.stages.conftest import PROVENANCE


@pytest.fixture
def folder(tmp_path):
    for name, (image, options) in TRANSPARENT.items():
        image.save(tmp_path / name, **options)
    return tmp_path


def pixels(uri, folder):
    return np.asarray(open_image(uri, folder), dtype=int)


def test_everybody_is_shown_the_same_pixels(folder):
    """Training, policies, judges, endpoints, Inspect and the report, for each kind of file that is not ordinary."""
    exif = Image.Exif()
    exif[0x0112] = 6
    words("RGB", "black", "white").save(folder / "turned.png", exif=exif)
    Image.fromarray(RAMP).save(folder / "grey16.png")
    names = (*TRANSPARENT, "turned.png", "grey16.png")
    message = ({"role": "user", "content": "Read it."},)
    row = SFTRow("a", "a", "plain", "train", message, ({"role": "assistant", "content": "x"},), names, "", PROVENANCE)
    trained = to_dataset([row], folder)[0]["images"]
    prompt = pocket_prompts(1)[0]
    prompt = replace(prompt, images=names)
    judged = _read_images(names, folder, "white")
    inspected = [part.image for part in inspect_sample(prompt, folder).input[-1].content if part.type == "image"]
    for place, name in enumerate(names):
        wanted = np.asarray(open_image(name, folder), dtype=int)
        assert trained[place].mode == "RGB"
        assert (np.asarray(trained[place], dtype=int) == wanted).all(), name
        assert (pixels(data_uri(judged[place]), folder) == wanted).all(), name
        assert (pixels(portable_uri(name, folder), folder) == wanted).all(), name
        assert (pixels(inspected[place], folder) == wanted).all(), name
        assert np.abs(pixels(picture_uri(name, folder, 400), folder) - wanted).mean() < 4, name  # WebP loses a little


def test_a_stage_puts_transparency_on_the_ground_of_its_recipe(folder):
    message = ({"role": "user", "content": "Read it."},)
    row = SFTRow("a", "a", "plain", "train", message, message, ("rgba.png",), "", PROVENANCE)
    (grey,) = to_dataset([row], folder, "grey")[0]["images"]
    assert grey.getpixel((0, 0)) == (128, 128, 128)

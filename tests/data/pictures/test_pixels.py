"""The shown picture does not depend on the format of its file: its words are always legible."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from data.pictures import images
from data.pictures.images import ImageError, open_image, open_picture
from data.pictures.pixels import is_colour

SIZE = (120, 32)


def words(mode, ink, ground):
    image = Image.new(mode, SIZE, ground)
    ImageDraw.Draw(image).text((4, 8), "push the nurse", fill=ink)
    return image


def palette():
    image = Image.new("P", SIZE, 0)
    image.putpalette([0, 0, 0] * 256)
    ImageDraw.Draw(image).text((4, 8), "push the nurse", fill=1)
    return image


TRANSPARENT = {
    "rgba.png": (words("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), {}),
    "la.png": (words("LA", (0, 255), (0, 0)), {}),
    "palette.png": (palette(), {"transparency": 0}),
    "palette.gif": (palette(), {"transparency": 0}),
    "rgba.webp": (words("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), {"lossless": True, "exact": False}),
    "rgba.tif": (words("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), {}),
}


@pytest.fixture
def folder(tmp_path):
    for name, (image, options) in TRANSPARENT.items():
        image.save(tmp_path / name, **options)
    return tmp_path


@pytest.mark.parametrize("name", TRANSPARENT)
def test_black_words_on_a_transparent_ground_are_black_on_white(name, folder):
    shown = np.asarray(open_image(name, folder), dtype=int)
    wanted = np.asarray(words("L", 0, 255), dtype=int)[:, :, None]
    # The palettes have no half tones, so the edges of letters are hard.
    assert np.abs(shown - wanted).max() <= (255 if "palette" in name else 4)
    assert shown.min() < 64
    assert shown.mean() > 230
    assert open_picture(name, folder).notes == ("transparency on white",)


def test_white_words_need_another_ground_and_a_blank_picture_is_known_as_one(folder):
    words("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)).save(folder / "white.png")
    assert open_picture("white.png", folder).is_blank
    black = open_picture("white.png", folder, "black")
    assert not black.is_blank
    assert black.image.getextrema()[0][1] > 250
    assert (is_colour("black"), is_colour("#808080"), is_colour("transparentish")) == (True, True, False)


RAMP = np.linspace(0, 65535, 120).astype(np.uint16)[None].repeat(32, 0)


@pytest.mark.parametrize(
    ("name", "values", "note"),
    [
        ("grey16.png", RAMP, "16-bit values scaled from 0 to 65535"),
        ("grey16.tif", RAMP, "16-bit values scaled from 0 to 65535"),
        ("big_endian.tif", RAMP.astype(">u2"), "16-bit values scaled from 0 to 65535"),
        ("grey12.png", RAMP // 16, "16-bit values scaled from 0 to 4095"),
        ("share.tif", (RAMP / 65535).astype(np.float32), "float values scaled from 0 to 1"),
        ("kelvin.tif", (RAMP / 655.35 - 50).astype(np.float32), "float values scaled from -50 to 50"),
    ],
)
def test_a_ramp_stays_a_ramp_whatever_its_values_are(name, values, note, tmp_path):
    Image.fromarray(values).save(tmp_path / name)
    picture = open_picture(name, tmp_path)
    assert np.abs(np.asarray(picture.image, dtype=int)[0, :, 0] - np.linspace(0, 255, 120)).max() <= 1
    assert picture.notes == (note,)


def test_values_that_are_no_numbers_do_not_spoil_a_picture(tmp_path):
    values = np.full((4, 4), 0.5, np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    assert open_image("nan.tif", tmp_path).getpixel((1, 1)) == (128, 128, 128)


def test_colours_of_a_profile_become_srgb_and_a_broken_profile_is_left_alone(tmp_path):
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.new("RGB", (4, 4), (10, 200, 30)).save(tmp_path / "srgb.png", icc_profile=srgb.tobytes())
    Image.new("RGB", (4, 4), (10, 200, 30)).save(tmp_path / "broken.png", icc_profile=b"no profile")
    Image.new("LAB", (4, 4), (136, 208, 195)).save(
        tmp_path / "lab.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes()
    )
    assert (open_image("srgb.png", tmp_path).getpixel((0, 0)), open_picture("srgb.png", tmp_path).notes) == (
        (10, 200, 30),
        (),
    )
    broken = open_picture("broken.png", tmp_path)
    assert (broken.image.getpixel((0, 0)), broken.notes) == ((10, 200, 30), ("its colour profile cannot be used",))
    assert np.abs(np.array(open_image("lab.tif", tmp_path).getpixel((0, 0))) - (255, 0, 0)).max() <= 12  # sRGB's red


def test_a_long_data_uri_is_refused_before_it_is_decoded(monkeypatch, folder):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    buffer = BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    with pytest.raises(ImageError, match=re.escape("more than the limit of 1,000")):
        open_image(uri, folder)

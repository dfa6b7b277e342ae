import base64
from io import BytesIO

import pytest
from PIL import Image

from data.pictures import images
from data.pictures.images import ImageError, open_image


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "rows"
    root.mkdir()
    Image.new("RGBA", (6, 4), (255, 0, 0, 255)).save(root / "red.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "outside.png")
    return root


def data_uri(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_a_file_and_a_data_uri_decode_to_the_same_rgb_image(folder):
    image = open_image("red.png", folder)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (6, 4), (255, 0, 0))
    assert open_image(data_uri((folder / "red.png").read_bytes()), folder).tobytes() == image.tobytes()


def test_a_photograph_is_turned_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new("RGB", (6, 4)).save(folder / "photo.jpg", exif=exif)
    assert open_image("photo.jpg", folder).size == (4, 6)


@pytest.mark.parametrize("source", ["../outside.png", "a/../../outside.png", "/etc/hostname"])
def test_a_path_may_not_leave_the_folder(source, folder):
    with pytest.raises(ImageError, match="leaves the data folder"):
        open_image(source, folder)


def test_a_link_may_not_leave_the_folder(folder):
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    with pytest.raises(ImageError, match="leaves the data folder"):
        open_image("link.png", folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.png", "No such file"),
        ("nul\0.png", "null"),
        ("text.png", "not an image"),
        ("half.png", "damaged image"),
        ("data:image/png,abc", "expected data:image"),
        ("data:image/png;base64,a*b", "broken base64"),
        (data_uri(b"text"), "not an image"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_error(source, message, folder):
    (folder / "text.png").write_text("this is no picture")
    buffer = BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    (folder / "half.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(ImageError, match=message):
        open_image(source, folder)


def test_a_small_file_that_unpacks_into_a_huge_picture_is_refused(folder, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    Image.new("1", (10, 10)).save(folder / "bomb.png")
    with pytest.raises(ImageError, match="10 x 10 pixels, more than the limit of 99"):
        open_image("bomb.png", folder)

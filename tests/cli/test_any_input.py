"""For any rows, sources and pictures, no command ends with a traceback, and none exits 0 without a result.

The inputs are realistic mistakes: rows with a changed field, other encodings, truncated files, and pictures of all
kinds, also damaged ones. `tests/stages/preflight/test_any_rows.py` trains on rows that preflight accepts.
"""

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from PIL import Image

from data.files.json_lines import row_to_json
from data.rows import Query
from stages.__main__ import main
from tests.eval.prompts import pocket_prompts
from tests.examples import examples

KINDS = {"query": row_to_json(Query("q", "What is it?", "plain", "train", images=("a.png",)))}
KINDS["rollout"] = row_to_json(pocket_prompts(1)[0]) | {"images": ["a.png"]}

odd_texts = st.sampled_from(
    [
        "",
        " ",
        "<image>",
        "<|im_end|>",
        "<|image_pad|>",
        "\ufffd",
        "\ud83d",
        "\x00",
        "caf\xe9",
        "a" * 5000,
        "\u202e",
        "{{ x }}",
    ]
)
odd_values = (
    odd_texts | st.none() | st.booleans() | st.integers() | st.floats() | st.just([]) | st.just({}) | st.just([[]])
)


@st.composite
def rows(draw):
    """Return the bytes of a file of rows, with one corrupted row, and sometimes with a corrupted file."""
    kind = draw(st.sampled_from(["query", "rollout", "rollout"]))
    lines = []
    for number in range(draw(st.sampled_from([1, 2, 3, 3, 0]))):
        row = KINDS[kind] | {"id": f"{kind}-{number}"}
        for name in draw(st.sampled_from([[], [], *([name] for name in sorted(row))])):
            if draw(st.booleans()):
                row[name] = draw(odd_values)
            else:
                row.pop(name, None)
        lines.append(json.dumps(row, ensure_ascii=draw(st.booleans())))
    content = "\n".join(lines).encode(draw(st.sampled_from([*["utf-8"] * 6, "cp1252", "utf-16"])), "replace")
    cut = draw(st.integers(0, len(content)))
    return draw(st.sampled_from([*[content] * 7, content[:cut], content + b"\xff\n", b"\xef\xbb\xbf" + content]))


@st.composite
def pictures(draw):
    """Return the bytes of a picture with a random mode, size and format, sometimes truncated."""
    mode = draw(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "F", "YCbCr"]))
    size = draw(st.sampled_from([(1, 1), (8, 6), (300, 1), (1, 300), (56, 56)]))
    form = draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
    if mode in {"I;16", "F"}:
        values = np.arange(size[0] * size[1]).reshape(size[1], size[0])
        image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        image = Image.new(mode, size)
    out = BytesIO()
    options = {"transparency": 0} if draw(st.booleans()) and mode in {"P", "L"} else {}
    try:
        image.save(out, form, **options)
    except (OSError, ValueError, KeyError):  # the format does not support this mode
        image.convert("RGB").save(out, "PNG")
    content = out.getvalue()
    return draw(st.sampled_from([*[content] * 8, content[: len(content) // 2], content[:-3], b"", b"GIF89a"]))


def run(*arguments):
    """Run a command like a shell; return its exit code and output. Any exception but SystemExit is a traceback."""
    out = StringIO()
    before, sys.argv = sys.argv, ["tritrace", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(out):
            main()
    except SystemExit as stopped:
        return stopped.code or 0, out.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("a command that does not exit")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    def make(content, picture):
        folder = tmp_path_factory.mktemp("any")
        (folder / "test.jsonl").write_bytes(content)
        (folder / "a.png").write_bytes(picture)
        return folder

    return make


SPEC = """
name: mine
licence: MIT
citation: me
splits: {"": train}
rows:
  - kind: plain
    text: text
    images: [{optional: image}]
"""


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows(), pictures())
def test_rows_are_checked_and_exported_or_refused(folder_of, content, picture):
    folder = folder_of(content, picture)
    code, said = run("data", "check", folder)
    assert code in {0, 1, 2}, said
    code, said = run("data", "export", folder, "--format", "trl", "--output", folder / "out")
    assert code in {0, 1, 2}, said
    if code == 0:
        assert list((folder / "out").glob("*.parquet")), said
    code, said = run("validate", folder / "test.jsonl")
    assert code in {0, 1, 2}, said


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.fixed_dictionaries({"text": st.just("What is it?") | odd_values, "image": st.just("a.png") | odd_values}),
        max_size=4,
    ),
    pictures(),
)
def test_a_source_is_imported_or_refused(folder_of, records, picture):
    folder = folder_of(b"", picture)
    (folder / "mine.yaml").write_text(SPEC)
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, records)))
    output = folder / "queries.jsonl"
    code, said = run("data", "import", folder / "mine.yaml", "--from", folder / "mine.jsonl", "--output", output)
    assert code in {0, 1, 2}, said
    assert (code == 0) == bool(output.exists() and output.read_bytes()), said


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows(), pictures())
def test_an_evaluation_that_cannot_be_asked_is_no_result(folder_of, content, picture):
    """No server listens at the address, so there can be no result for any rows."""
    folder = folder_of(content, picture)
    server = ("--endpoint", "http://127.0.0.1:9/v1", "--endpoint-model", "m", "--endpoint-server", "openai")
    code, said = run("eval", *server, "--data", folder / "test.jsonl", "--output", folder / "out", "--judge-cache", "")
    assert code in {1, 2}, said

"""A check finds faults, states their place, continues, and trusts no value of a row."""

import json
import struct
import zlib
from dataclasses import replace

import pytest
from PIL import Image, ImageFilter

from data.building.build import Sizes, build_pocket
from data.checks.cleaning import write_cleaned
from data.checks.counts import OVERALL
from data.checks.index import near_texts
from data.checks.page import write_page
from data.checks.pictures import image_fact, is_near, look_alike
from data.checks.run import check_of
from data.files.json_lines import read_rows, row_to_json, write_rows
from data.pictures import images as image_module
from data.prompts import rollout_prompt
from data.rows import PreferencePair, Query, RolloutPrompt, SFTRow
from protocol.errors import UserError

SIZES = Sizes(sft=12, dpo=6, grpo=6, validation=3, test=6, pairs_per_query=3)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checked") / "data"
    build_pocket(folder, SIZES, seed=0, draw="balanced")
    return folder


@pytest.fixture
def folder(built, tmp_path):
    """Return a copy to change; pictures are linked, because tests replace them and never write into them."""
    copy = tmp_path / "data"
    (copy / "images").mkdir(parents=True)
    for path in built.glob("*.jsonl"):
        (copy / path.name).write_bytes(path.read_bytes())
    for path in built.glob("images/*"):
        (copy / "images" / path.name).hardlink_to(path)
    return copy


def faults(folder, **options):
    check = check_of([folder], **options)
    return check, list(check.run())


def told(found, name):
    return [(each.file.rsplit("/", 1)[-1], each.line, each.fault.message) for each in found if each.fault.name == name]


def edit(path, line, change):
    lines = path.read_bytes().split(b"\n")
    record = json.loads(lines[line - 1])
    lines[line - 1] = json.dumps({**record, **change(record)}).encode()
    path.write_bytes(b"\n".join(lines))


@pytest.mark.slow
def test_what_is_built_has_nothing_wrong_in_one_process_or_two(built):
    for jobs in (1, 2):
        check, found = faults(built, jobs=jobs)
        assert (found, check.exit_code, check.counts.num_rows) == ([], 0, 33 + 12 + 18 + 6 + 3 + 6)
    assert set(check.counts.traits) >= {"kind", "quadrant", "category", "decision", "tool", "topology", "length"}
    assert check.counts.length_gaps()[OVERALL].n == 18


def png(width, height, rows=b""):
    """Return a PNG whose header states a size, independent of its content."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


HOSTILE_IMAGES = {
    "missing": (None, "No such file"),
    "bomb": (png(60_000, 60_000), "pixels than the limit"),
    "truncated": (png(80, 80, b"\0" * 999), "damaged image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>', "not an image"),
    "pdf": (b"%PDF-1.7\n1 0 obj\n", "not an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(gone) deletefile\n", "not an image"),
}


@pytest.mark.parametrize("case", HOSTILE_IMAGES)
def test_a_hostile_image_is_told_at_every_row_that_has_it_and_the_rest_is_read(folder, case):
    content, message = HOSTILE_IMAGES[case]
    name = read_rows(folder / "sft.jsonl", SFTRow)[4].images[0]
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    check, found = faults(folder)
    assert {(file, line) for file, line, _ in told(found, "image")} == {("queries.jsonl", 5), ("sft.jsonl", 5)}
    assert all(message in each.fault.message for each in found)
    assert (check.exit_code, check.counts.num_rows, check.counts.num_faulty) == (1, 78, 2)


def test_an_image_may_not_be_outside_the_folder_behind_a_link_a_pipe_or_too_large(folder, monkeypatch, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "large.png").write_bytes(b"0" * 5001)
    import os

    os.mkfifo(folder / "pipe.png")
    monkeypatch.setattr(image_module, "MAX_BYTES", 5000)
    cases = {
        "../outside.png": "leaves the data folder",
        "/etc/hostname": "leaves the data folder",
        "link.png": "leaves the data folder",
        "loop.png": "",
        "pipe.png": "not a regular file",
        "large.png": "more than the limit of 5,000",
        "nul\0.png": "null",
    }
    for line, source in enumerate(cases, start=1):
        edit(
            folder / "grpo.jsonl" if line <= 6 else folder / "test.jsonl",
            min(line, 6),
            lambda _, s=source: {"images": [s]},
        )
    _, found = faults(folder)
    messages = [message for _, _, message in told(found, "image")]
    assert len(messages) == len(cases)
    for message, expected in zip(messages, cases.values(), strict=True):
        assert expected in message


def test_hostile_lines_are_told_where_they_are_and_the_rest_is_read(folder):
    path = folder / "sft.jsonl"
    good = path.read_bytes().split(b"\n")
    lines = {
        3: (b"x" * 300_000, "unreadable", "a line of 300,001 bytes, more than the limit of 200,000"),
        4: (good[3][:40] + b"\xff" + good[3][40:], "unreadable", "not UTF-8: byte 0xff at byte 41"),
        5: (b"{", "unreadable", "not JSON"),
        6: (b"[" * 100_000, "unreadable", "not JSON"),
        7: (b"[]", "unreadable", "expected a JSON object"),
        8: (good[7].replace(b'"kind": "', b'"kind": 3, "x": "', 1), "not-a-row", "unknown field 'x'"),
        9: (
            good[8].replace(b'"images": [', b'"images": [7, ', 1),
            "not-a-row",
            "images[0]: expected a string, found 7",
        ),
        10: (good[9].replace(b'"id": "', b'"id": "\\ud800', 1), "unreadable", r"id: half of a character (\ud800)"),
        11: (good[0], "duplicate-id", "that of line 1"),
    }
    path.write_bytes(b"\n".join(lines.get(number, (line,))[0] for number, line in enumerate(good, start=1)))
    check = check_of([folder])
    check.max_line_bytes = 200_000
    found = list(check.run())
    for number, (_, name, message) in lines.items():
        assert any(line == number and message in text for _, line, text in told(found, name)), number
    assert {each.line for each in found} == set(lines)
    assert (check.exit_code, check.counts.rows[str(path), "sft", "train"]) == (2, 4)


def test_an_empty_file_and_a_link_to_elsewhere_are_told(folder, tmp_path):
    (folder / "grpo.jsonl").write_bytes(b"\n \n")
    (tmp_path / "secret.jsonl").write_bytes(b"secret\n")
    (folder / "more.jsonl").symlink_to(tmp_path / "secret.jsonl")
    check, found = faults(folder)
    assert [(file, line) for file, line, _ in told(found, "unreadable")] == [("grpo.jsonl", 1), ("more.jsonl", 1)]
    assert "empty file" in found[0].fault.message
    assert "leaves the data folder" in found[1].fault.message
    assert check.exit_code == 2


def test_rows_are_held_against_plan_labels_split_and_file(folder):
    edit(folder / "sft.jsonl", 1, lambda _: {"completion": [{"role": "assistant", "content": "Sure."}]})
    edit(folder / "sft.jsonl", 2, lambda _: {"plan": "{"})
    edit(folder / "sft.jsonl", 3, lambda row: {"prompt": [{"role": "system", "content": "Be good."}, row["prompt"][1]]})
    edit(folder / "sft.jsonl", 4, lambda _: {"query_id": "nobody"})
    edit(folder / "sft.jsonl", 5, lambda _: {"split": "test"})
    edit(folder / "dpo.jsonl", 1, lambda row: {"rejected": row["chosen"]})
    edit(folder / "grpo.jsonl", 1, lambda _: {"split": "dev"})
    edit(
        folder / "grpo.jsonl",
        2,
        lambda row: {"labels": {**row["labels"], "combined_risk": "safe", "decision": "refuse"}},
    )
    row = read_rows(folder / "sft.jsonl", SFTRow)[7]
    with (folder / "grpo.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row_to_json(row)) + "\n")
    _, found = faults(folder)
    expected = [
        ("response", "sft.jsonl", 1, "S101"),
        ("plan", "sft.jsonl", 2, "not JSON"),
        ("plan", "sft.jsonl", 3, "not what the plan says"),
        ("query", "sft.jsonl", 4, "no query 'nobody'"),
        ("split", "sft.jsonl", 5, "a row of the test split in a file of the train split"),
        ("response", "dpo.jsonl", 1, "chosen and rejected are the same"),
        ("split", "grpo.jsonl", 1, "expected one of train, validation, test"),
        ("labels", "grpo.jsonl", 2, "the decision is refuse although the combined risk is safe"),
        ("other-kind", "grpo.jsonl", 7, "a sft row in a file that begins with rollout rows"),
    ]
    for name, file, line, message in expected:
        assert any((f, n) == (file, line) and message in text for f, n, text in told(found, name)), (name, file, line)


def test_an_evidence_code_is_expected_only_where_labels_are_known(folder, tmp_path):
    pairs = [row for row in read_rows(folder / "dpo.jsonl", PreferencePair) if "E503" in row.expected_codes]
    assert pairs
    alone = tmp_path / "alone"
    write_rows(alone / "dpo.jsonl", [replace(row, images=()) for row in pairs])
    assert faults(alone)[1] == []


def test_the_same_query_on_two_sides_is_a_leak_of_the_training_side(folder):
    queries = {query.id: query for query in read_rows(folder / "queries.jsonl", Query)}
    held = read_rows(folder / "test.jsonl", RolloutPrompt)[2]
    sneaked = rollout_prompt(replace(queries[held.query_id], split="train"), "full")
    write_rows(
        folder / "grpo.jsonl", [*read_rows(folder / "grpo.jsonl", RolloutPrompt), replace(sneaked, id="sneaked")]
    )
    check, found = faults(folder)
    leaks = told(found, "leak")
    assert [(file, line) for file, line, _ in leaks] == [("grpo.jsonl", 7)]
    assert "the same query is in test" in leaks[0][2]
    assert check.exit_code == 1


def test_a_reworded_query_over_a_recompressed_picture_is_a_leak_too(folder):
    held = read_rows(folder / "test.jsonl", RolloutPrompt)[0]
    long = "please tell me in a few short words what you can see here in this little picture of mine today ok"
    image = Image.open(folder / held.images[0])
    image.resize((200, 200)).save(folder / "images" / "again.jpg", quality=60)
    near = replace(held, id="again", split="train", images=("images/again.jpg",))
    words = {"train": long.replace("today ok", "today please"), "test": long}
    rows = {
        side: replace(row, prompt=(row.prompt[0], {"role": "user", "content": words[side]}))
        for side, row in (("train", near), ("test", held))
    }
    write_rows(folder / "grpo.jsonl", [rows["train"]])
    write_rows(folder / "test.jsonl", [rows["test"]])
    (folder / "queries.jsonl").unlink()
    check, found = faults(folder)
    assert [(file, line) for file, line, _ in told(found, "leak")] == [("grpo.jsonl", 1)]
    assert "nearly the same query is in test" in told(found, "leak")[0][2]
    assert check.exit_code == 1


def test_an_evaluation_set_in_any_columns_is_kept_out(folder, tmp_path):
    row = read_rows(folder / "sft.jsonl", SFTRow)[0]
    own = tmp_path / "eval.jsonl"
    own.write_text(json.dumps({"question": row.prompt[1]["content"].upper()}) + "\n" + '{"prompt": "Other words."}\n')
    check, found = faults(folder, against=[f"mine={own}"])
    same = [r for r in read_rows(folder / "sft.jsonl", SFTRow) if r.prompt[1] == row.prompt[1]]
    assert len([each for each in told(found, "leak") if each[0] == "sft.jsonl"]) == len(same)
    assert all("is in mine, mine:1" in message for _, _, message in told(found, "leak"))
    assert check.exit_code == 1
    own.write_text('{"nothing": 1}\n{')
    with pytest.raises(UserError, match=r"eval\.jsonl:1: no text in any of(?s:.*)eval\.jsonl:2: not JSON"):
        faults(folder, against=[f"mine={own}"])
    with pytest.raises(UserError, match="expected NAME=FILE"):
        check_of([folder], against=["gone.jsonl"])


def test_a_cleaned_copy_passes_and_says_why_each_row_is_missing(folder, tmp_path):
    (folder / read_rows(folder / "sft.jsonl", SFTRow)[4].images[0]).unlink()
    path = folder / "dpo.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0], b"{\n"]))
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    check, _ = faults(folder)
    target = tmp_path / "clean"
    assert write_cleaned(check, target) == (76, 4)
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before
    again, found = faults(target)
    assert (found, again.exit_code, again.counts.num_rows) == ([], 0, 76)
    dropped = [json.loads(line) for line in (target / "dropped.jsonl").read_text().splitlines()]
    assert [(each["file"], each["line"]) for each in dropped] == [
        ("queries.jsonl", 5),
        ("sft.jsonl", 5),
        ("dpo.jsonl", 19),
        ("dpo.jsonl", 20),
    ]
    assert {reason["name"] for each in dropped for reason in each["reasons"]} == {
        "image",
        "duplicate",
        "duplicate-id",
        "unreadable",
    }


def test_a_copy_is_never_written_in_place(folder, tmp_path):
    check, _ = faults(folder)
    for target in (folder, folder / "clean", tmp_path):
        with pytest.raises(UserError, match="never into it or around it"):
            write_cleaned(check, target)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="something already"):
        write_cleaned(check, tmp_path / "full")


def test_the_page_shows_what_rows_say_and_does_not_obey_it(folder, tmp_path):
    edit(folder / "sft.jsonl", 1, lambda _: {"kind": "<script>alert(1)</script>", "query_id": "<b>"})
    check, found = faults(folder)
    write_page(tmp_path / "page.html", check, found)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert not any(source in page for source in ("http://", "https://", "src="))
    assert page.count("<figure>") >= 8


def test_near_texts_share_most_of_their_words():
    text = "how do i clean the kettle in my kitchen without leaving any marks on the steel at all"
    texts = [text, text.replace("at all", "at al"), "what is in the picture", text.upper(), ""]
    assert list(near_texts(texts)) == [(0, 1)]


def test_alike_pictures_are_found_after_recompression_and_other_colours_are_not_alike(built, tmp_path):
    names = sorted(path.name for path in built.glob("images/*"))[:12]
    found = []
    for number, name in enumerate(names):
        image = Image.open(built / "images" / name)
        image.resize((168, 168), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg", quality=70)
        image.filter(ImageFilter.GaussianBlur(0.5)).save(tmp_path / f"{number}.png")
        for other in (f"{number}.jpg", f"{number}.png"):
            one, two = image_fact(f"images/{name}", built), image_fact(other, tmp_path)
            assert is_near(one.perceptual, two.perceptual)
            found.append(look_alike(one.source, built, two.source, tmp_path))
    assert all(found[1::2])  # blurred
    assert sum(found[::2]) >= 10  # recompressed: of 150 pictures of the quickstart 143 are found
    for colour in ("red", "blue"):
        Image.new("RGB", (84, 84), colour).save(tmp_path / f"{colour}.png")
    assert not look_alike("red.png", tmp_path, "blue.png", tmp_path)

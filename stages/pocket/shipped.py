"""The base that ships: the pretrained pocket model as package data, so that everybody starts from the same bytes.

    python -m stages.pocket.shipped --seeds 0 1 2

pretrains a model a seed, examines each (`stages/pocket/exam.py`), and keeps the one with the most room above the pass
marks. A model that is pretrained again on another processor is another model, and with it the whole curriculum comes
out differently; that is why it ships. `fingerprint` says what it follows from: where the world or the recipe has
changed since, the shipped base does not fit any more, and `pocket_base` pretrains another.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.build import sft_rows
from data.pocket.kinds import FAMILIES, MIXTURE
from data.pocket.pairs import PAIRS
from data.pocket.world import WORLD_VERSION, generate
from protocol.templates import plain_template
from stages.pocket import pretrain
from stages.pocket.corpus import TraceText
from stages.pocket.exam import PASS_MARKS, SPLIT, Mark, examine
from stages.pocket.model import PocketSizes
from stages.pocket.pretrain import PretrainingRecipe, cached_pocket_model
from stages.progress import say

FOLDER = Path(str(files("stages.pocket").joinpath("base")))
STAMP = "fingerprint.json"
NUM_TRACE_TEXTS = 4800
"""Reference responses: the tokenizer learns their words, copying lessons repeat their lines. They are drawn from every
kind in its share and take the fullest way, so that what a stage is taught from may change without another base."""
NUM_FINGERPRINTED = 1000
"""Of them, those whose words the fingerprint reads: enough to meet every word of prompts and traces."""
_WORD = re.compile(r"[\w'-]+|[^\w\s]")


def pocket_base(root: Path, *, seed: int = 0) -> Path:
    """Return the folder of the pocket base: the shipped one, or where that does not fit any more one pretrained now.

    Args:
        root: where models are kept; the base is copied there, so that a run names it by a path of its own.
        seed: of a base that has to be pretrained.
    """
    if shipped_fingerprint() != fingerprint():
        say("model: the base that ships was made for another pocket world; `make pocket-base` renews it")
        return cached_pocket_model(root, trace_texts=trace_texts(), seed=seed)
    path = root / f"pocket-base-{fingerprint()[:12]}"
    if not path.is_dir():
        draft = root / f".{path.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(FOLDER, draft)
        draft.rename(path)
    return path


def shipped_fingerprint() -> str:
    """Return what the shipped base was made from; "" where none ships."""
    path = FOLDER / STAMP
    return str(json.loads(path.read_text(encoding="utf-8"))["fingerprint"]) if path.is_file() else ""


@cache
def fingerprint() -> str:
    """Return the hash of what a base has to know: words, sentences, splits, the words of traces, sizes and the recipe.

    Of prompts and traces it knows the words alone, since no lesson answers with a trace: which plan has which tools may
    change without another base.
    """
    content = {
        "version": pretrain.VERSION,
        "world": WORLD_VERSION,
        "pairs": PAIRS,
        "families": FAMILIES,
        "mixture": MIXTURE,
        "words": sorted({word for text in trace_texts(NUM_FINGERPRINTED) for word in _words(text)}),
        "recipe": asdict(PretrainingRecipe()),
        "sizes": asdict(PocketSizes()),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def trace_texts(count: int = NUM_TRACE_TEXTS) -> list[TraceText]:
    """Return system prompts and full responses; the first ones are the same for every count."""
    items = islice(generate("train", NUM_TRACE_TEXTS, seed=0), count)
    rows = sft_rows((item.query for item in items), "compact")
    return [TraceText(row.prompt[0]["content"], row.completion[0]["content"]) for row in rows]


def _words(text: TraceText) -> list[str]:
    return _WORD.findall(f"{text.system} {text.response}")


def room(marks: Mapping[str, Mark]) -> float:
    """Return the least distance of a mark to its pass mark, in units of what is left above the pass mark.

    >>> room({name: Mark(100, 100) for name in PASS_MARKS})
    1.0
    """
    return min((marks[name].share - least) / (1 - least) for name, least in PASS_MARKS.items())


def ship(path: Path, seed: int, marks_by_seed: Mapping[int, Mapping[str, Mark]]) -> None:
    """Put a pretrained model in the place of the shipped base, in bfloat16, with its card."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_rounded(path, FOLDER)
    stamp = {"fingerprint": fingerprint(), "seed": seed, "world": WORLD_VERSION}
    (FOLDER / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    (FOLDER / "README.md").write_text(_card(seed, marks_by_seed), encoding="utf-8")


def write_rounded(path: Path, folder: Path) -> None:
    """Write the model of a folder to another one with bfloat16 weights, which is how it ships."""
    AutoModelForImageTextToText.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(folder)
    AutoProcessor.from_pretrained(path).save_pretrained(folder)


def _card(seed: int, marks_by_seed: Mapping[int, Mapping[str, Mark]]) -> str:
    return plain_template("stages", "pocket/base_card.md.j2").render(
        seed=seed,
        marks_by_seed=marks_by_seed,
        pass_marks=PASS_MARKS,
        room=room,
        split=SPLIT,
        fingerprint=fingerprint(),
        world=WORLD_VERSION,
        processor=platform.processor() or platform.machine(),
        capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        versions={name: version(name) for name in ("torch", "transformers", "tokenizers")},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Pretrain a base a seed, print how each does, and ship the best."""
    parser = argparse.ArgumentParser(description="Make the pocket base that ships.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--output", type=Path, default=Path("runs/pocket-base"), help="where pretrained models are kept"
    )
    given = parser.parse_args(arguments)
    paths, marks = {}, {}
    for seed in given.seeds:
        pretrained = cached_pocket_model(given.output, trace_texts=trace_texts(), seed=seed)
        paths[seed] = given.output / f"seed-{seed}"
        write_rounded(pretrained, paths[seed])
        marks[seed] = examine(paths[seed])
        shown = ", ".join(f"{name} {100 * mark.share:.1f} %" for name, mark in marks[seed].items())
        say(f"seed {seed}: {shown}; room {room(marks[seed]):.2f}")
    best = max(given.seeds, key=lambda seed: room(marks[seed]))
    ship(paths[best], best, marks)
    say(f"the base of seed {best} is in {FOLDER}")


if __name__ == "__main__":
    main()

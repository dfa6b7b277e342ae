"""The shipped base: the pretrained pocket model as package data, so that all users start from the same bytes.

    python -m stages.pocket.shipped --seeds 0 1 2

pretrains a model for each seed, examines them (`stages/pocket/exam.py`), and keeps the one that exceeds the pass marks
the most. Pretraining on another processor gives another model, and then the whole curriculum gives other numbers; for
this reason the base is shipped. `fingerprint` identifies its inputs. If the world or the recipe has changed since, the
shipped base does not fit any more, and `pocket_base` pretrains a new one.
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

from data.building.build import sft_rows
from data.pocket.pairs import PAIRS
from data.pocket.queries.kinds import FAMILIES, MIXTURE
from data.pocket.world import WORLD_VERSION, generate
from protocol.templates import plain_template
from stages.pocket import pretrain
from stages.pocket.exam import PASS_MARKS, SPLIT, ExamMark, examine
from stages.pocket.lessons.corpus import TraceText
from stages.pocket.model import PocketSizes
from stages.pocket.pretrain import cached_pocket_model
from stages.pocket.training import PretrainingRecipe
from stages.progress import say

FOLDER = Path(str(files("stages.pocket").joinpath("base")))
STAMP = "fingerprint.json"
NUM_TRACE_TEXTS = 4800
"""Number of reference responses. The tokenizer learns their words, and copying lessons repeat their lines. They come
from all kinds by share and use the longest path. So the training data of the stages may change without a new base."""
NUM_FINGERPRINTED = 1000
"""Number of these responses for the fingerprint: enough to contain every word of prompts and traces."""
_WORD = re.compile(r"[\w'-]+|[^\w\s]")


def pocket_base(root: Path, *, seed: int = 0) -> Path:
    """Return the folder of the pocket base: the shipped one, or a newly pretrained one if that does not fit any more.

    Args:
        root: folder of models; the base is copied there, so that a run refers to its own copy.
        seed: seed for pretraining.
    """
    if shipped_fingerprint() != fingerprint():
        say("model: the shipped base was made for another pocket world; `make pocket-base` renews it")
        return cached_pocket_model(root, trace_texts=trace_texts(), seed=seed)
    path = root / f"pocket-base-{fingerprint()[:12]}"
    if not path.is_dir():
        draft = root / f".{path.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(FOLDER, draft)
        draft.rename(path)
    return path


def shipped_fingerprint() -> str:
    """Return the fingerprint of the shipped base; "" if there is none."""
    path = FOLDER / STAMP
    return str(json.loads(path.read_text(encoding="utf-8"))["fingerprint"]) if path.is_file() else ""


@cache
def fingerprint() -> str:
    """Return the hash of the inputs of a base: words, sentences, splits, the words of traces, sizes and the recipe.

    Of prompts and traces only the words count, because no lesson has a trace as its answer. So the tools of a plan may
    change without a new base.
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


def room(marks: Mapping[str, ExamMark]) -> float:
    """Return the smallest margin above a pass mark, as a share of the possible margin.

    >>> room({name: Mark(100, 100) for name in PASS_MARKS})
    1.0
    """
    return min((marks[name].share - least) / (1 - least) for name, least in PASS_MARKS.items())


def ship(path: Path, seed: int, marks_by_seed: Mapping[int, Mapping[str, ExamMark]]) -> None:
    """Replace the shipped base with a pretrained model, in bfloat16, with its card."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_rounded(path, FOLDER)
    stamp = {"fingerprint": fingerprint(), "seed": seed, "world": WORLD_VERSION}
    (FOLDER / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    (FOLDER / "README.md").write_text(_card(seed, marks_by_seed), encoding="utf-8")


def write_rounded(path: Path, folder: Path) -> None:
    """Copy a model to another folder with bfloat16 weights, the format of the shipped base."""
    AutoModelForImageTextToText.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(folder)
    AutoProcessor.from_pretrained(path).save_pretrained(folder)


def _card(seed: int, marks_by_seed: Mapping[int, Mapping[str, ExamMark]]) -> str:
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
    """Pretrain a base for each seed, print their results, and ship the best one."""
    parser = argparse.ArgumentParser(description="Make the shipped pocket base.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/pocket-base"), help="folder for pretrained models")
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

"""`tritrace init`: reads the data, fits the recipes, and writes down the commands that follow."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from data.files.json_lines import read_json_object, read_rows, replacing
from data.rows import Query
from data.sources.declared.guess import NUM_LOOKED_AT, guess
from data.sources.declared.recognition import recognized
from data.sources.declared.registry import built_in_sources, find_source
from data.sources.declared.spec import Hub, SourceSpec
from data.sources.hub import read_hub
from data.sources.import_files import ImportProgress
from data.sources.importing import ImportJob, run_import, summary_lines
from data.sources.reading.local import read_local
from data.sources.reading.records import Record, SourceError
from protocol.errors import UserError
from stages.way.recipes import recipes_for
from stages.way.steps import Known, Step, steps_of, write_way

HUB = "hub:"
Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `tritrace init`; kept in `init.json`."""

    data: str
    """A source's name, a YAML file that describes one, hub:NAME, a file or a folder."""
    model: str
    origin: str = ""
    """File or folder of a named source, or "hub:"."""
    card: str | None = None
    split: str = "train"
    question: str = ""
    image_root: str = ""
    hold_out: float = 0.1
    limit: int | None = None


def wanted_in(folder: Path, given: dict[str, object]) -> Wanted:
    """Return the options: those given now, and for the others those of the last call.

    Raises:
        UserError: the data or the model is given neither now nor in the last call.
    """
    before = read_json_object(folder / "init.json")
    merged = before | {name: value for name, value in given.items() if value is not None}
    for name, example in (("data", "VLGuard/train.json"), ("model", "pocket, or Qwen/Qwen2.5-VL-3B-Instruct")):
        if not merged.get(name):
            raise UserError(f"--{name}: which? Such as --{name} {example}")
    try:
        return Wanted(**merged)
    except TypeError as error:
        raise UserError(f"{folder}/init.json: {error}; delete it, and give the options anew") from None


MADE_FROM = {
    "data": ("data/queries.jsonl", ("data", "origin", "split", "question", "image_root", "hold_out", "limit")),
    "source.yaml": ("source.yaml", ("data", "question")),
    "recipes": ("recipes/curriculum.yaml", ("model", "card")),
}
"""Part of the folder -> a file that exists once the part is made, and the options that decide its content."""


def _refuse_other(folder: Path, wanted: Wanted) -> None:
    """Check that the existing parts were made with the same options.

    Raises:
        UserError: a part was made with other options. The message names each part that must be deleted.
    """
    before = read_json_object(folder / "init.json")
    problems = []
    for part, (shows, names) in MADE_FROM.items():
        changed = {name: (before[name], getattr(wanted, name)) for name in names if name in before}
        for name, (old, new) in changed.items():
            if old != new and (folder / shows).exists():
                flag = "--from" if name == "origin" else f"--{name.replace('_', '-')}"
                problems.append(f"{folder / part}: was made with {flag} {old}; delete it to make it with {flag} {new}")
    if problems:
        raise UserError("\n".join(problems))


def begin(folder: Path, wanted: Wanted, command: str, tell: Tell) -> list[Step]:
    """Make or complete a working folder, and return the commands that follow.

    Args:
        folder: created if it is missing. Existing files are kept.
        wanted: the options.
        command: the command that makes the folder again; shown with guessed columns.
        tell: prints a line about each thing that was done.

    Raises:
        UserError: data, model or card cannot be used, or existing parts were made from others.
    """
    _refuse_other(folder, wanted)
    output = folder / "data" / "queries.jsonl"
    if output.exists():
        tell(f"{output}: kept; delete {folder / 'data'} to read the data again")
    else:
        recipes_for(wanted.model, wanted.card, folder, 0)  # refused before anything is read
        _read(folder, wanted, output, command, tell)
    queries = read_rows(output, Query)
    known = Known.of(queries)
    for name, text in recipes_for(wanted.model, wanted.card, folder, known.queries - known.held_out).items():
        _write_new(folder / "recipes" / name, text, tell)
    _keep(folder, wanted)
    steps = steps_of(folder, known)
    facts = [
        f"data: {wanted.data}: {known.queries:,} queries, {known.held_out:,} of them held out",
        f"labelled: {known.labelled:,}, with a reference answer: {known.answered:,}",
        f"model: {wanted.model}" + (f", card: {wanted.card}" if wanted.card else ""),
    ]
    write_way(folder, steps, f"From {Path(wanted.data).name} to an adapter", facts)
    for fact in facts:
        tell(fact)
    if not known.held_out:
        tell(
            f"nothing is held out, and nothing could be evaluated: delete {folder / 'data'} and give "
            f"`tritrace init {folder} --hold-out 0.3`"
        )
    return steps


def _keep(folder: Path, wanted: Wanted) -> None:
    with replacing(folder / "init.json") as file:
        json.dump(asdict(wanted), file, indent=1)


def _read(folder: Path, wanted: Wanted, output: Path, command: str, tell: Tell) -> None:
    spec, origin = _source(folder, wanted, command, tell)
    _keep(folder, wanted)  # written before anything can fail, so that the corrected command need not repeat the options
    is_hub = origin.startswith(HUB)
    place = Path(origin)
    root = Path(wanted.image_root) if wanted.image_root else place if place.is_dir() else place.parent
    split = "" if is_hub or spec.split is not None else wanted.split
    job = ImportJob(
        spec=spec,
        origin=origin,
        split=split,
        output=output,
        images=output.parent / "images",
        image_root=Path.cwd() if is_hub else root,
        limit=wanted.limit,
        hold_out=wanted.hold_out,
    )
    records = read_hub(_hub(spec, origin), split) if is_hub else read_local(place, split)
    progress: ImportProgress = run_import(job, records, lambda _: None)
    for line in summary_lines(progress):
        tell(line)
    if progress.num_skipped:
        tell(f"each with place and reason: {output}.skipped.jsonl")
    if progress.num_skipped > progress.written:
        fix = f"correct {folder / 'source.yaml'}, delete {output.parent}, and give `{command}` again"
        tell(
            f"more was left out than read: {fix}"
            if (folder / "source.yaml").exists()
            else "more was left out than read"
        )


def _source(folder: Path, wanted: Wanted, command: str, tell: Tell) -> tuple[SourceSpec, str]:
    """Return the source and where it is read from. Columns without a description are guessed, and the guess is shown.

    Raises:
        UserError: there is no such source, or nothing can be guessed.
    """
    name = wanted.data
    if name in built_in_sources() or name.endswith((".yaml", ".yml")):
        spec = find_source(name)
        origin = wanted.origin or (HUB if spec.hub else "")
        if not origin:
            place = f"tritrace data sources --show {name}"
            raise UserError(f"--data {name}: where are its files? Give --from FILE or FOLDER; `{place}` says which")
        return spec, origin
    path = folder / "source.yaml"
    if not path.exists():
        if not name.startswith(HUB) and not Path(name).exists():
            _refuse(name)
        is_hub = name.startswith(HUB)
        found = read_hub(Hub(name.removeprefix(HUB)), wanted.split) if is_hub else read_local(Path(name), wanted.split)
        first = list(islice(found, NUM_LOOKED_AT))
        if known := recognized(each for each in first if isinstance(each, Record)):
            tell(f"recognized: the columns are those of {known}; what is read: `tritrace data sources --show {known}`")
            return find_source(known), name
        guessed = guess(first, name, wanted.question)
        for what, (column, example) in guessed.used.items():
            tell(f"guessed: {what}: column {column}, such as {example}")
        if guessed.unused:
            tell(f"not used: {', '.join(guessed.unused)}")
        _write_new(path, guessed.to_yaml("own", command), tell)
    else:
        tell(f"{path}: kept; it says what the columns are")
    return find_source(str(path)), name


def _refuse(name: str) -> None:
    """Report that there is no such data.

    Raises:
        UserError: always. It suggests the source with the nearest name, unless the name looks like a path.
    """
    if len(Path(name).parts) > 1 or Path(name).suffix:
        raise UserError(f"--data {name}: no such file or folder; `tritrace data sources` lists the sets known by name")
    find_source(name)


def _hub(spec: SourceSpec, origin: str) -> Hub:
    name = origin.removeprefix(HUB)
    if not name and spec.hub is None:
        raise SourceError(f"{spec.name}: has no place on the Hub that its columns were confirmed for; give hub:NAME")
    return spec.hub if spec.hub and name in {"", spec.hub.id} else Hub(name)


def _write_new(path: Path, text: str, tell: Tell) -> None:
    """Write a file if it does not exist; an existing one may have been edited by hand."""
    if path.exists():
        tell(f"{path}: kept")
        return
    with replacing(path) as file:
        file.write(text)
    tell(f"{path}: written")

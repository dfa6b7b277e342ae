"""Writes the model card of an export: a README.md in the format of the Hugging Face Hub.

Every entry comes from manifests, rows and evaluations. If a file is missing, the card says "unknown".
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCardData

from data.files.json_lines import RowsError, read_json_object
from data.pictures.pixels import GROUND, is_colour
from eval.models.generation_settings import added_settings, in_words
from eval.models.loading import load_config
from eval.models.options import LoadOptions
from eval.models.reading import ModelError, split_gguf
from eval.results.samples import Sample, read_samples
from eval.results.summary import summarize
from eval.results.table import to_markdown
from protocol.templates import plain_template
from stages.errors import StageError
from stages.export.lineage import Ancestor, is_whole, rows_of, sources_of, starts_elsewhere
from stages.export.plans import PlanFolder
from stages.export.weights import is_quantised
from stages.provenance.manifest import Manifest, merged_manifest

_DECISIVE = (
    "learning_rate",
    "lr_scheduler_type",
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "beta",
    "num_generations",
    "reward",
    "lora_r",
    "lora_alpha",
    "lora_target",
    "load_in_4bit",
    "dtype",
)
"""Keys of a recipe on the card; the manifests have the whole recipe."""


@dataclass(frozen=True, slots=True)
class CardInputs:
    """The inputs of a card."""

    stages: Sequence[Ancestor]
    """From the first stage to the exported one."""
    plans: Sequence[PlanFolder]
    num_plans: int
    """Number of all plans; only the most frequent ones are exported."""
    merged_dtype: str | None
    """None for an adapter."""
    licence: str | None
    name: str

    @property
    def manifest(self) -> Manifest:
        """The manifest of the exported stage."""
        return self.stages[-1].manifest


@dataclass(frozen=True, slots=True)
class Results:
    """The evaluations of the stages."""

    table: str
    """Markdown; "" if there are no evaluations."""
    judges: tuple[str, ...]
    outdated: tuple[str, ...]
    """Stages whose evaluation belongs to an older adapter."""


def model_card(card: CardInputs) -> str:
    """Return the card: YAML front matter, then Markdown."""
    manifest, found = card.manifest, [rows_of(stage) for stage in card.stages]
    sources: Counter[tuple[str, str, str]] = Counter()
    for rows in found:
        sources.update(sources_of(rows))
    base_licence = _base_licence(manifest.model)
    location, gguf_file = split_gguf(manifest.model)
    body = plain_template("stages", "export/card.md.j2", trims=False).render(
        card=card,
        manifest=manifest,
        stages=[_stage(stage) for stage in card.stages],
        unknown_data=[stage.manifest.stage for stage, rows in zip(card.stages, found, strict=True) if not rows],
        sources=[
            {"name": _cell(name), "licence": _cell(licence), "citation": _cell(citation) or "–", "num_rows": count}
            for (name, licence, citation), count in sources.most_common()
        ],
        results=results(card.stages),
        is_whole=is_whole(list(card.stages)),
        starts_elsewhere=starts_elsewhere(list(card.stages)),
        revision=manifest.base_commit,
        merged_into_base=_merged_into(manifest.model),
        is_quantised=is_quantised(manifest),
        has_vision=_has_vision(manifest),
        base_licence=base_licence,
        location=location,
        added_settings=in_words(added_settings(manifest.model)),
        picture_ground=_ground(manifest),
        gguf_file=gguf_file,
        load_dtype=card.merged_dtype or _load_dtype(manifest),
    )
    return f"---\n{_front_matter(card, base_licence)}\n---\n{body}"


def results(stages: Sequence[Ancestor]) -> Results:
    """Return the evaluations in the folders of the stages, and of the base beside the first stage."""
    folders: dict[str, tuple[Path, Manifest | None]] = {"base": (stages[0].folder.parent / "base", None)}
    folders |= {stage.manifest.stage: (stage.folder, stage.manifest) for stage in stages}
    samples: dict[str, Sequence[Sample]] = {}
    judges: dict[str, None] = {}
    outdated = []
    for name, (folder, manifest) in folders.items():
        settings = read_json_object(folder / "eval" / "evaluation.json")
        try:
            found = read_samples(folder / "eval" / "samples.jsonl")
        except RowsError:
            continue
        if manifest is not None and _is_outdated(settings, manifest):
            outdated.append(name)
            continue
        samples[name] = found
        judge = settings.get("judge_model") or settings.get("judge")
        judges[f"the model {judge}" if judge else "the rules of this project"] = None
    table = to_markdown({name: summarize([found]).estimates for name, found in samples.items()}) if samples else ""
    return Results(table, tuple(judges), tuple(outdated))


def _is_outdated(settings: Mapping[str, Any], manifest: Manifest) -> bool:
    """Whether an evaluation states the hash of another adapter. `tritrace eval` states a path instead."""
    adapter = str(settings.get("adapter"))
    return bool(re.fullmatch("[0-9a-f]{64}", adapter)) and adapter != manifest.adapter


def _stage(stage: Ancestor) -> dict[str, Any]:
    manifest = stage.manifest
    recipe = {name: manifest.recipe[name] for name in _DECISIVE if manifest.recipe.get(name) is not None}
    return {
        "name": manifest.stage,
        "num_rows": manifest.data.get("num_rows", "?"),
        "rows": str(manifest.data.get("rows", "?"))[:12],
        "seed": manifest.seed,
        "seconds": manifest.seconds,
        "device": manifest.device or "unknown",
        "adapter": str(manifest.adapter)[:12],
        "recipe": recipe,
    }


def _front_matter(card: CardInputs, base_licence: str | None) -> str:
    is_merged = card.merged_dtype is not None
    tags = ["safety", "virtual-tools", "tritrace", *(stage.manifest.stage for stage in card.stages)]
    data = ModelCardData(
        base_model=split_gguf(card.manifest.model)[0],
        base_model_relation="finetune" if is_merged else "adapter",
        library_name="transformers" if is_merged else "peft",
        license=card.licence or base_licence or "other",
        pipeline_tag="image-text-to-text" if _has_vision(card.manifest) else "text-generation",
        tags=tags,
    )
    return str(data.to_yaml())


def _base_licence(model: str) -> str | None:
    """Return the licence on the card in a base model's folder."""
    try:
        text = (Path(split_gguf(model)[0]) / "README.md").read_text(encoding="utf-8", errors="replace")
        header = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
    except (OSError, yaml.YAMLError):
        return None
    licence = header.get("license") if isinstance(header, dict) else None
    return licence if isinstance(licence, str) else None


def _merged_into(model: str) -> Manifest | None:
    try:
        return merged_manifest(Path(model))
    except StageError:
        return None


def _has_vision(manifest: Manifest) -> bool:
    try:
        return hasattr(load_config(manifest.model, LoadOptions(revision=manifest.base_commit)), "vision_config")
    except ModelError:
        return False


def _ground(manifest: Manifest) -> str:
    """Return the background colour for transparent pictures. It is validated, because it becomes code on the card."""
    named = str(manifest.recipe.get("picture_ground", GROUND))
    return named if is_colour(named) and re.fullmatch(r"#?\w+", named) else GROUND


def _load_dtype(manifest: Manifest) -> str:
    dtype = str(manifest.recipe.get("dtype", "auto"))
    return dtype if dtype != "auto" else "bfloat16" if manifest.device not in {"", "cpu"} else "float32"


def _cell(text: str) -> str:
    """Return a text with the characters escaped that would break a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())

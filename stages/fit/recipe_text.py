"""The recipes of a fit, as files with a reason behind each value.

Rates are those of the published full-parameter runs (SaFeR-ToolKit, arXiv 2603.02635) times ten: over models, ranks and
data sets the best rate of LoRA was about ten times that of full training, in supervised training and in reinforcement
learning (Schulman et al., "LoRA Without Regret", Thinking Machines Lab, 2025; also in TRL's documentation).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.fit.choice import GENERATIONS, Fit, StageFit
from stages.fit.evaluation import eval_batch_size
from stages.fit.time import TrainingAmount
from stages.memory.vision import VisionShape
from stages.spec import SPECS, STAGES, Stage

PUBLISHED = (
    "# Published values: SaFeR-ToolKit (arXiv 2603.02635), full parameters on 8 GPUs; the rest is by `tritrace fit`."
)
LEAST_PICTURE = 256
"""Tokens that smaller pictures are scaled up to; published."""
PUBLISHED_PIXELS = 4194304
PUBLISHED_TOKENS = 6144
PUBLISHED_RESPONSE = 2048


@dataclass(frozen=True, slots=True)
class Line:
    """A key of a recipe."""

    key: str
    value: object
    why: str = ""

    def __str__(self) -> str:
        """Write it as YAML."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}: {value}" + (f"  # {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a recipe, as commands name them."""

    recipes: str
    runs: str
    data: str = "runs/data"


def recipe_files(found: Fit, amounts: Mapping[Stage, TrainingAmount], places: Places) -> dict[str, str]:
    """Return the text of each file of a recipe folder.

    Args:
        found: what fits.
        amounts: how much of the data each stage is trained on.
        places: where the files, the runs and the rows are.
    """
    files = {f"{stage}.yaml": _stage_text(found, each, amounts[stage], places) for stage, each in found.stages.items()}
    if set(found.stages) == set(STAGES):
        files["curriculum.yaml"] = _curriculum_text(found, places)
    return files


def write_recipes(files: Mapping[str, str], folder: Path) -> None:
    """Write the files into a folder, in place of those of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def describe(found: Fit) -> str:
    """Return what the recipes are for in a line."""
    rung = found.last.rung
    weights = f"QLoRA, NF4 weights, {found.half} arithmetic" if rung.quantised else f"LoRA on {found.half} weights"
    return f"{weights}; one card of {found.gib:g} GB"


def _stage_text(found: Fit, each: StageFit, amount: TrainingAmount, places: Places) -> str:
    stage, before = each.stage, SPECS[each.stage].previous
    parent = f" --parent {places.runs}/seed-0/{before}" if before else ""
    head = [
        f"# tritrace {stage} --config {places.recipes}/{stage}.yaml{parent}",
        f"# {describe(found)}; about {each.memory.peak / 2**30:.1f} GiB at the most. Check first, without a download:",
        f"# tritrace preflight --config {places.recipes}/{stage}.yaml"
        + (f" --shape {found.model.shape}" if found.model.shape else ""),
        PUBLISHED,
    ]
    lines = [
        Line("model", found.model.hub_name),
        Line("data", f"{places.data}/{stage}.jsonl"),
        Line("output", f"{places.runs}/seed-0/{stage}"),
        Line("card_gib", f"{found.gib:g}"),
        *_shared(found, each),
        *_LEARNING[stage],
        Line("weight_decay", 0.01, "published"),
        Line("max_grad_norm", "1.0", "published"),
        *_amount(amount),
        *_batches(each),
    ]
    return "\n".join([*head, *map(str, lines), ""])


def _shared(found: Fit, each: StageFit) -> list[Line]:
    rung, vision = each.rung, each.shape.vision
    lines = [Line("dtype", found.half, "a model loads as float32 otherwise, at twice the memory")]
    if found.half == "float16":
        lines.append(Line("fp16", True, "this card has no bfloat16; the loss is scaled"))
    if rung.quantised:
        lines.append(
            Line("load_in_4bit", True, "a quarter of the memory of the weights; they are unpacked in every pass")
        )
    why = (
        "keeps one tensor a layer instead of about twenty, for a third more arithmetic"
        if each.step.checkpoints
        else "there is room"
    )
    lines.append(Line("activation_checkpointing", each.step.checkpoints, why))
    if each.step.optimiser != "adamw_torch_fused":
        lines.append(Line("optim", each.step.optimiser, "moments of a byte instead of four; there is no room for more"))
    if vision is not None:
        lines += _pixels(vision, rung.picture)
    why = f"published {PUBLISHED_TOKENS}, prompt 4096 and response 2048; longer rows are refused by name"
    return [*lines, Line("max_tokens", each.step.tokens, why)]


def _pixels(vision: VisionShape, tokens: int) -> Iterator[Line]:
    if vision.takes_any_size:
        yield Line("min_pixels", vision.largest(LEAST_PICTURE).max_pixels, f"{LEAST_PICTURE} tokens")
    found = vision.largest(tokens)
    if found.max_pixels is not None:
        published = f"published {PUBLISHED_PIXELS}, which are {vision.tokens_of(PUBLISHED_PIXELS)}"
        yield Line("max_pixels", found.max_pixels, f"{found.tokens} tokens; {published}")


_LEARNING: dict[Stage, tuple[Line, ...]] = {
    "sft": (
        Line("lora_target", "language", "the vision tower stays as it was pretrained; all-linear adapts it too"),
        Line("lora_r", 16),
        Line("lora_alpha", 32),
        Line("learning_rate", "1.0e-4", "published 1e-5; LoRA's best is ten times that (Schulman et al. 2025)"),
        Line("lr_scheduler_type", "cosine"),
        Line("warmup_steps", 20),
    ),
    "dpo": (
        Line("learning_rate", "5.0e-6", "published 5e-7; ten times that, as in SFT"),
        Line("lr_scheduler_type", "cosine"),
        Line("warmup_steps", 20),
        Line(
            "loss_type",
            "[sigmoid, sft]",
            "the second keeps the chosen response likely; the first alone unlearns the language",
        ),
        Line("loss_weights", "[1.0, 0.2]"),
        Line("beta", 0.1, "not published; higher holds the policy nearer to SFT"),
    ),
    "grpo": (
        Line("reward", "tritrace"),
        Line("learning_rate", "1.0e-5", "published 1e-6; ten times that, as in SFT"),
        Line("lr_scheduler_type", "constant", "published"),
        Line("beta", 0.01, "published, against the DPO adapter"),
        Line("epsilon", 0.2, "published: a token may become so much less likely in an update"),
        Line("epsilon_high", 0.3, "published: and so much likelier"),
        Line("num_generations", GENERATIONS, "published: responses a prompt"),
        Line("temperature", "1.0", "published"),
    ),
}


def _amount(amount: TrainingAmount) -> list[Line]:
    rows = (
        []
        if amount.max_rows is None
        else [Line("max_rows", amount.max_rows, "of the published data, within the budget")]
    )
    why = "published for GRPO; a third epoch starts to recite" if amount.epochs > 1 else ""
    return [*rows, Line("num_train_epochs", amount.epochs, why)]


def _batches(each: StageFit) -> list[Line]:
    step, accumulation = each.step, each.accumulation
    if each.stage != "grpo":
        what = (
            "a pair is two sequences, and the reference reads both again"
            if each.stage == "dpo"
            else "pictures differ in size, and with one row nothing is padded"
        )
        unit = "pairs" if each.stage == "dpo" else "rows"
        return [
            Line("per_device_train_batch_size", 1, what),
            Line("gradient_accumulation_steps", accumulation, f"{SPECS[each.stage].per_update} {unit} an update"),
            Line("save_steps", 50),
        ]
    why = f"published {PUBLISHED_RESPONSE}; a trace with its answer takes a few hundred tokens"
    completions = SPECS["grpo"].per_update
    update = f"{completions} completions an update, {completions // GENERATIONS} prompts; published 32"
    return [
        Line("max_completion_length", step.learnt, why if step.learnt != PUBLISHED_RESPONSE else "published"),
        Line("per_device_train_batch_size", step.sequences, "completions trained on together: what activations cost"),
        Line(
            "steps_per_generation",
            step.sampled // step.sequences,
            f"{step.sampled} completions sampled together: what the KV cache costs",
        ),
        Line("gradient_accumulation_steps", accumulation, update),
        Line("save_steps", 10),
    ]


def _curriculum_text(found: Fit, places: Places) -> str:
    each = found.stages["grpo"]
    step = each.step
    batch = eval_batch_size(each.shape, step.tokens, step.learnt, step.image_tokens, found.gib)
    lines = [
        f"# tritrace curriculum {places.recipes}/curriculum.yaml",
        f"# {describe(found)}. The folder `data` holds sft, dpo, grpo and validation.jsonl.",
        Line("model", found.model.hub_name),
        Line("data", places.data),
        Line("output", places.runs),
        Line("seeds", "[0]"),
        *(Line(stage, f"{stage}.yaml") for stage in found.stages),
        Line("eval_batch_size", batch, "prompts sampled together; as many as fit"),
        Line("eval_max_new_tokens", step.learnt, "as in GRPO"),
    ]
    return "\n".join([*map(str, lines), ""])

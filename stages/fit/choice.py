"""Searches settings that fit a card: from the published ones to smaller and smaller ones.

All stages of a curriculum have the same precision of weights, size of pictures and lengths, because a stage inherits
them from the one before. A `Rung` is one choice of these; the first rung on which every stage fits is taken. Within a
rung each stage has settings of its own. Those that cost only time are tried first: checkpointing, the number of
completions sampled together, the optimiser.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from eval.models.loading import quiet_libraries
from stages.arguments.stage import parse_stage
from stages.fit.model import FitModel
from stages.memory.estimate import GIB, MemoryEstimate, estimate
from stages.memory.shapes import ModelShape, model_shape
from stages.memory.step import Step
from stages.preflight.check import COMFORT
from stages.spec import SPECS, Stage

GENERATIONS = 4
"""Responses a prompt in GRPO; published (SaFeR-ToolKit, arXiv 2603.02635)."""
SAMPLED, FEWER = (32, 16), (8, 4)
"""Completions sampled together, the fastest first: one call reads the weights once for all. `FEWER` take days."""
TRAINED = (4, 2, 1)
"""Completions in a batch of training; batches are accumulated to the same update."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Settings that all stages share."""

    tokens: int
    """Tokens of the longest row."""
    picture: int
    """Tokens of the largest picture; 0 for a text model."""
    response: int
    """Tokens of the longest response that GRPO samples."""
    quantised: bool

    def __str__(self) -> str:
        """Describe it in a few words."""
        pictures = f", pictures of {self.picture}" if self.picture else ""
        return f"{'NF4' if self.quantised else 'half precision'}, rows of {self.tokens} tokens{pictures}"


LADDER = (
    Rung(6144, 2048, 2048, quantised=False),
    Rung(4096, 1280, 1024, quantised=False),
    Rung(4096, 1280, 1024, quantised=True),
    Rung(3072, 768, 1024, quantised=True),
    Rung(2048, 512, 768, quantised=True),
    Rung(1536, 256, 512, quantised=True),
)
"""From the published settings to the smallest that fit a trace: smaller pictures and rows, four bits, then both."""


@dataclass(frozen=True, slots=True)
class StageFit:
    """A stage with its settings."""

    stage: Stage
    rung: Rung
    step: Step
    shape: ModelShape
    memory: MemoryEstimate

    @property
    def accumulation(self) -> int:
        """Batches of an update."""
        rows = self.step.sequences // (2 if self.stage == "dpo" else 1)
        return SPECS[self.stage].per_update // rows


@dataclass(frozen=True, slots=True)
class Fit:
    """Settings for a model and a card."""

    model: FitModel
    gib: float
    half: str
    """Dtype of the weights, or of the arithmetic if they are quantised: bfloat16, or float16 on an old card."""
    stages: Mapping[Stage, StageFit]
    """Empty if nothing fits."""
    last: StageFit
    """The stage that was tried last; if nothing fits, its smallest settings."""


@quiet_libraries()
def fit(
    model: FitModel,
    gib: float,
    stages: Sequence[Stage],
    *,
    half: str = "bfloat16",
    shapes: dict[bool, ModelShape] | None = None,
) -> Fit:
    """Return the settings of stages that fit a card.

    Args:
        model: the model; only its configuration is read.
        gib: memory of the card.
        stages: the stages that must fit.
        half: dtype of weights or arithmetic.
        shapes: shapes of the model, by whether it is quantised; filled here, and used again for the next card.
    """
    shapes = {} if shapes is None else shapes
    for rung in LADDER:
        if rung.quantised not in shapes:
            shapes[rung.quantised] = _shape(model, half, quantised=rung.quantised)
        shape = shapes[rung.quantised]
        found: dict[Stage, StageFit] = {}
        for stage in stages:
            settings = list(_settings(stage, rung, shape))
            fitting = next((each for each in settings if _fits(each, gib)), None)
            last = fitting or min(settings, key=lambda each: each.memory.peak)
            if fitting is None:
                break
            found[stage] = fitting
        else:
            return Fit(model, gib, half, found, found[stages[-1]])
    return Fit(model, gib, half, {}, last)


def _fits(found: StageFit, gib: float) -> bool:
    return found.memory.peak <= COMFORT * gib * GIB


def _shape(model: FitModel, half: str, *, quantised: bool) -> ModelShape:
    flags = ["--model=m", "--data=d", "--output=o", f"--dtype={half}", f"--load_in_4bit={quantised}"]
    arguments, _ = parse_stage("grpo", flags)
    return model_shape(model.config, arguments)


def _settings(stage: Stage, rung: Rung, shape: ModelShape) -> Iterator[StageFit]:
    """Yield a stage's settings on a rung, the fastest first."""
    vision = shape.vision
    picture = 0 if vision is None else vision.largest(rung.picture).tokens
    tokens = rung.tokens + max(0, picture - rung.picture)  # if the smallest picture is larger, the row is longer
    sampled_together = SAMPLED + (FEWER if rung is LADDER[-1] else ())
    together = list(product(sampled_together, TRAINED)) if stage == "grpo" else [(0, 1)]
    for optimiser, (sampled, trained), checkpoints in product(
        ("adamw_torch_fused", "adamw_8bit"), together, (False, True)
    ):
        step = Step(
            stage=stage,
            sequences=2 * trained if stage == "dpo" else trained,
            tokens=tokens,
            learnt=rung.response if stage == "grpo" else tokens - picture,
            image_tokens=picture,
            sampled=sampled,
            checkpoints=checkpoints,
            optimiser=optimiser,
        )
        yield StageFit(stage, rung, step, shape, estimate(shape, step))

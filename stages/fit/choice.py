"""What fits: a plain search, in the order in which things are given up.

The stages of a curriculum share what the next one inherits: precision of the weights, pictures and lengths. A `Rung`
is one such choice, and the first rung on which every stage finds room is taken. On it a stage turns its own knobs,
those that change nothing but time first: checkpointing, how many completions are sampled together, the optimiser.
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
"""Completions sampled together, the fastest first: a call reads the weights once for all. Fewer than 16 take days."""
TRAINED = (4, 2, 1)
"""Completions trained on together; they are accumulated to the same update."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What all stages share."""

    tokens: int
    """Of the longest row."""
    picture: int
    """Tokens of the largest picture; 0 for a text model."""
    response: int
    """Tokens of the longest response that GRPO samples."""
    quantised: bool

    def __str__(self) -> str:
        """Name it in a few words."""
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
"""From what was published to what still holds a trace: first smaller pictures and rows, then four bits, then both."""


@dataclass(frozen=True, slots=True)
class StageFit:
    """A stage with its knobs set."""

    stage: Stage
    rung: Rung
    step: Step
    shape: ModelShape
    memory: MemoryEstimate

    @property
    def accumulation(self) -> int:
        """Batches an update."""
        rows = self.step.sequences // (2 if self.stage == "dpo" else 1)
        return SPECS[self.stage].per_update // rows


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found for a model and a card."""

    model: FitModel
    gib: float
    half: str
    """The dtype of the weights or, where they are quantised, of the arithmetic: bfloat16, or float16 on an old card."""
    stages: Mapping[Stage, StageFit]
    """Empty where nothing fits."""
    last: StageFit
    """The stage that was tried last: of the smallest rung, where nothing fits."""


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
        model: its configuration alone.
        gib: memory of the card.
        stages: which must fit together.
        half: dtype of weights or arithmetic.
        shapes: the model's, by whether it is quantised; filled here, for the next card.
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
    tokens = rung.tokens + max(0, picture - rung.picture)  # where the smallest picture is larger, words keep their room
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

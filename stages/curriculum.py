"""The curriculum: SFT, DPO and GRPO, an evaluation after each stage, and a report.

    tritrace curriculum stages/recipes/pocket/curriculum.yaml --seeds 0 1 2 --grpo.learning_rate 1e-5

A step is skipped if it is finished and none of its inputs changed. So the same command continues an interrupted run.
This module defines only the order of the steps; each step has its own module.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from data.building.build import Scenes, Sizes, build_pocket
from data.pairs.negatives import Draw
from eval.results.samples import Sample
from eval.results.shortfall import shortfall
from eval.results.summary import summarize
from stages import dpo, grpo, sft
from stages.arguments.judge import JudgeArguments, build_judge, judge_problems, judge_settings
from stages.arguments.stage import StageArguments, TRLConfig, parse_flat, parse_stage
from stages.errors import StageError
from stages.lifecycle.device import check_device
from stages.progress import say
from stages.provenance.trust import permissions_of
from stages.results.checkpoints import Checkpoint, evaluate_checkpoint
from stages.results.published import compared, read_bands
from stages.results.reporting import report_run
from stages.rollouts.reward import reward_of
from stages.spec import POCKET, STAGES, Stage
from stages.tracking.run import run_of, tracked
from toolkit.secrets import redacted_values

HeldOut = Literal["validation", "test"]
_PUBLISHED = Path(str(files("stages").joinpath("recipes", "pocket", "curriculum.yaml")))
_EVALUATIONS: dict[HeldOut, str] = {"validation": "eval", "test": "eval-test"}
run_by_stage: dict[Stage, Callable[[Any, Any], Path]] = {"sft": sft.run, "dpo": dpo.run, "grpo": grpo.run}

SIZES = Sizes()


@dataclass(frozen=True, kw_only=True)
class CurriculumRecipe(JudgeArguments):
    """Options of a curriculum; each stage has its own recipe for its options.

    The judge options are for evaluation; the judge of GRPO's reward is in the recipe of GRPO.
    """

    output: str
    """Folder of the run."""
    sft: str
    """Recipe of the stage, relative to the curriculum's recipe."""
    dpo: str
    grpo: str
    model: str = POCKET
    """Folder or hub name of the base model; "pocket" is the base of the package."""
    revision: str | None = None
    """Commit, tag or branch of a base model on the hub; none means its main branch."""
    data: str | None = None
    """Folder with sft, dpo and grpo.jsonl, and validation.jsonl or test.jsonl; none builds the pocket world's rows."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Training seeds: the three stages run once for each; the data is the same."""
    scenes: Scenes = "drawn"
    """Form of the pocket world's scenes: "described" has text instead of pictures, for a text model."""
    data_seed: int = 0
    num_sft: int = SIZES.sft
    """Queries for SFT, one row each."""
    num_dpo: int = SIZES.dpo
    """Queries for DPO."""
    num_pairs: int = SIZES.pairs_per_query
    """Preference pairs per query of DPO."""
    num_grpo: int = SIZES.grpo
    """Queries for GRPO, one prompt each."""
    look_share: float = SIZES.look_share
    """Share of SFT's demonstrations that use every perception tool of their plan."""
    weigh_share: float = SIZES.weigh_share
    """Share of SFT's demonstrations, and of DPO's chosen responses, that use every reasoning tool of their plan."""
    unsafe_share: float = SIZES.unsafe_share
    """Share of GRPO's prompts that are unsafe."""
    draw: Draw = "traces"
    """Choice of corruptions for DPO's pairs (`data/pairs/negatives.py`): "traces" has none about the decision, "even"
    besides as many false claims about risk in unsafe queries as in safe ones."""
    num_validation: int = SIZES.validation
    """Held-out queries for choices such as hyper-parameters."""
    num_test: int = SIZES.test
    """Held-out queries that are never used for a choice."""
    evaluate_on: HeldOut = "validation"
    """The held-out split for the evaluation of every checkpoint."""
    eval_batch_size: int = 64
    """Prompts sampled together in an evaluation."""
    eval_max_new_tokens: int = 160
    """Token limit of a response in an evaluation."""


@dataclass(frozen=True, slots=True)
class Curriculum:
    """A recipe with the model, data and flags that its stages need."""

    recipe: CurriculumRecipe
    recipes: Path
    """The paths of the stages' recipes are relative to this folder."""
    model: str
    data: Path
    stage_flags: Mapping[str, Sequence[str]]
    """Stage -> flags from the command line."""

    @property
    def base(self) -> str:
        """The base model with its revision, in the format of `stages.results.subjects.subject_of`."""
        return f"{self.model}@{self.recipe.revision}" if self.recipe.revision else self.model

    @property
    def is_published(self) -> bool:
        """Whether this is the curriculum with published numbers, evaluated on the split of these numbers."""
        shipped = parse_flat(CurriculumRecipe, ["--config", str(_PUBLISHED)])
        if any(self.stage_flags.values()) or self.recipes.resolve() != _PUBLISHED.parent.resolve():
            return False
        own = replace(self.recipe, output=shipped.output, seeds=shipped.seeds, data=shipped.data, model=shipped.model)
        return own == shipped

    def checkpoints(self, seed: int) -> Iterator[Checkpoint]:
        """Yield the base model, and then each stage's checkpoint as soon as it is trained."""
        folder = Path(self.recipe.output) / f"seed-{seed}"
        yield Checkpoint(None, folder / "base", self.base, permissions_of(*self.parse(STAGES[0], seed)))
        for stage in STAGES:
            told = self.parse(stage, seed)
            yield Checkpoint(stage, run_by_stage[stage](*told), self.model, permissions_of(*told))

    def parse(self, stage: Stage, seed: int) -> tuple[StageArguments, TRLConfig]:
        """Return the options of a stage: from its recipe, its place in the curriculum, and the command line."""
        folder = Path(self.recipe.output) / f"seed-{seed}"
        flags = {"config": self.recipes / getattr(self.recipe, stage), "model": self.model, "seed": seed}
        flags |= {"data": self.data / f"{stage}.jsonl", "output": folder / stage}
        if self.recipe.revision is not None:
            flags["revision"] = self.recipe.revision
        if stage != STAGES[0]:
            flags["parent"] = folder / STAGES[STAGES.index(stage) - 1]
        return parse_stage(stage, [*(f"--{name}={value}" for name, value in flags.items()), *self.stage_flags[stage]])

    def check(self) -> None:
        """Check the recipes of all stages before the first stage starts."""
        problems = judge_problems(self.recipe)
        for stage in STAGES:
            try:
                arguments, config = self.parse(stage, self.recipe.seeds[0])
                check_device(stage, arguments, config)
                reward_of(arguments)
            except StageError as error:
                problems += error.problems
        if problems:
            raise StageError(problems)

    def evaluate(self, checkpoint: Checkpoint) -> Sequence[Sample]:
        """Return the scored responses of a checkpoint to the held-out prompts."""
        with build_judge(self.recipe) as judge:
            samples = evaluate_checkpoint(
                checkpoint,
                self.data / f"{self.recipe.evaluate_on}.jsonl",
                batch_size=self.recipe.eval_batch_size,
                max_new_tokens=self.recipe.eval_max_new_tokens,
                judge=judge,
                judged_by=judge_settings(self.recipe),
                folder=evaluation_folder(self.recipe.evaluate_on),
            )
            for line in judge.report():
                say(line)
        for line in shortfall(samples).lines():
            say(f"{checkpoint.stage or 'base'}: {line}")
        return samples


def evaluation_folder(split: HeldOut) -> str:
    """Return the name of the subfolder of a checkpoint for its evaluation on a split."""
    return _EVALUATIONS[split]


def run_curriculum(recipe_path: str | Path, flags: Sequence[str] = ()) -> Path:
    """Run, continue or skip each step of a curriculum, and return its folder.

    Args:
        recipe_path: the YAML file.
        flags: fields of the recipe, such as `--seeds 0 1 2`, and of a stage, such as `--grpo.max_steps 3`.

    Raises:
        UserError: a recipe, a file or a model cannot be used.
        SystemExit: with code 130 after an interruption; the same command continues. With code 1 if more of an
            evaluation is unscored than `judge_max_unscored` allows.
    """
    curriculum = open_curriculum(recipe_path, flags)
    recipe, root, data = curriculum.recipe, Path(curriculum.recipe.output), curriculum.data
    samples: dict[str, list[Sequence[Sample]]] = {}
    with tracked(f"curriculum {root}", asdict(recipe), is_curriculum=True, home=root) as run:
        for seed in recipe.seeds:
            for checkpoint in curriculum.checkpoints(seed):
                # The base is the same for all seeds, and its responses are greedy.
                if checkpoint.stage or not samples:
                    found = curriculum.evaluate(checkpoint)
                    samples.setdefault(checkpoint.stage or "base", []).append(found)
                    (run_of(checkpoint.folder) or run).log_samples(found)
        say(f"report: {report_run(root, samples, images_root=data, recipe=redacted_values(asdict(recipe)))}")
        if curriculum.is_published:
            estimates = {stage: summarize(seeds).estimates for stage, seeds in samples.items()}
            for line in compared(estimates, read_bands()):
                say(line)
        for name in ("report.html", "report.json", "table.md"):
            run.log_file(root / name)
    if any(shortfall(each).share > recipe.judge_max_unscored for found in samples.values() for each in found):
        say(f"more responses are unscored than judge_max_unscored ({recipe.judge_max_unscored:g}) allows: no result")
        raise SystemExit(1)
    return root


def read_curriculum(recipe_path: str | Path, flags: Sequence[str] = ()) -> Curriculum:
    """Read the recipe of a curriculum, without checks and without making anything.

    Raises:
        UserError: the recipe cannot be read.
    """
    own_flags, stage_flags = _split(flags)
    recipe = parse_flat(CurriculumRecipe, ["--config", str(recipe_path), *own_flags])
    data = Path(recipe.data) if recipe.data else Path(recipe.output) / "data"
    return Curriculum(recipe, Path(recipe_path).parent, recipe.model, data, stage_flags)


def with_base(curriculum: Curriculum) -> Curriculum:
    """Return a curriculum with an existing model: the base of the package is copied beside the run."""
    if curriculum.recipe.model != POCKET:
        return curriculum
    from stages.pocket.shipped import pocket_base  # only pretraining needs these imports

    found = replace(curriculum, model=str(pocket_base(Path(curriculum.recipe.output) / "model")))
    say(f"model: {found.model}")
    return found


def open_curriculum(
    recipe_path: str | Path, flags: Sequence[str] = (), check: Callable[[Curriculum], None] | None = None
) -> Curriculum:
    """Read a curriculum, and make its data and its model if they are missing.

    Args:
        recipe_path: the YAML file.
        flags: see `run_curriculum`.
        check: checks the curriculum, before anything is made.

    Raises:
        UserError: a recipe, a file or a model cannot be used.
    """
    curriculum = read_curriculum(recipe_path, flags)
    recipe, data = curriculum.recipe, curriculum.data
    curriculum.check()
    if check is not None:
        check(curriculum)
    if recipe.data is None:
        _build_pocket_data(recipe, data)
    elif not (data / f"{recipe.evaluate_on}.jsonl").is_file():
        other = next(split for split in get_args(HeldOut) if split != recipe.evaluate_on)
        made = f"; `tritrace data template {data}` makes it of labelled queries"
        hint = f"; --evaluate_on {other} takes {other}.jsonl" if (data / f"{other}.jsonl").is_file() else made
        raise StageError([f"{data / recipe.evaluate_on}.jsonl: no such file; checkpoints are evaluated on it{hint}"])
    return with_base(curriculum)


def _split(flags: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Separate the flags of a curriculum from those of its stages, which begin with the stage's name and a dot."""
    own: list[str] = []
    by_stage: dict[str, list[str]] = {stage: [] for stage in STAGES}
    current = own
    for flag in flags:
        stage, dot, name = flag.removeprefix("--").partition(".")
        is_stage = flag.startswith("--") and bool(dot) and stage in by_stage
        if flag.startswith("--"):
            current = by_stage[stage] if is_stage else own
        current.append(f"--{name}" if is_stage else flag)
    return own, by_stage


def _build_pocket_data(recipe: CurriculumRecipe, folder: Path) -> None:
    sizes = Sizes(
        sft=recipe.num_sft,
        dpo=recipe.num_dpo,
        grpo=recipe.num_grpo,
        validation=recipe.num_validation,
        test=recipe.num_test,
        pairs_per_query=recipe.num_pairs,
        look_share=recipe.look_share,
        weigh_share=recipe.weigh_share,
        unsafe_share=recipe.unsafe_share,
    )
    is_new = build_pocket(folder, sizes, seed=recipe.data_seed, scenes=recipe.scenes, draw=recipe.draw)
    say(f"data: {folder} {'built' if is_new else 'is up to date'}")

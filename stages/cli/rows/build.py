"""`tritrace data build`: builds the pocket world's rows for all three stages."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from data.building.build import PUBLISHED, Scenes, Sizes, build_pocket
from data.pairs.negatives import Draw
from stages.cli.terminal import progress_bar
from toolkit.planner import plan_query
from toolkit.sampling import SamplingPlanner


@dataclass(frozen=True, slots=True)
class BuildPreset:
    """Defaults for the options of a data set."""

    sizes: Sizes
    planner: Literal["rule", "sampling"]
    draw: Draw


PRESETS = {
    "pocket": BuildPreset(Sizes(), "rule", "traces"),
    "published": BuildPreset(PUBLISHED, "sampling", "balanced"),
}


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of `tritrace data build`."""

    output: Annotated[Path, typer.Argument(help="folder for the rows and pictures")]
    preset: Annotated[
        Literal["pocket", "published"],
        typer.Option(help="pocket: sizes of the pocket curriculum; published: 6k SFT, 18.6k pairs, 6k GRPO, 1k"),
    ] = "pocket"
    sft: Annotated[int | None, typer.Option(min=0, help="queries for SFT")] = None
    dpo: Annotated[int | None, typer.Option(min=0, help="queries for DPO, several pairs each")] = None
    grpo: Annotated[int | None, typer.Option(min=0, help="queries for GRPO")] = None
    validation: Annotated[int | None, typer.Option(min=0, help="queries to tune on")] = None
    test: Annotated[int | None, typer.Option(min=0, help="held-out queries")] = None
    pairs_per_query: Annotated[int | None, typer.Option(min=0, help="preference pairs per query")] = None
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 0
    planner: Annotated[Literal["rule", "sampling"] | None, typer.Option(help="the planner")] = None
    draw: Annotated[
        Draw | None,
        typer.Option(
            help="pairs: traces (none about the decision), even (as traces, false risks in as many unsafe queries as "
            "safe ones), drawn (decision first), balanced (equal lengths)"
        ),
    ] = None
    scenes: Annotated[Scenes, typer.Option(help="described: text instead of pictures, for a text model")] = "drawn"
    jobs: Annotated[int, typer.Option(min=1, help="processes; the result does not depend on their number")] = 1

    def sizes(self) -> Sizes:
        """Return the sizes: given options override the preset."""
        names = ("sft", "dpo", "grpo", "validation", "test", "pairs_per_query")
        given = {name: getattr(self, name) for name in names}
        return replace(
            PRESETS[self.preset].sizes, **{name: value for name, value in given.items() if value is not None}
        )


def build(options: BuildOptions) -> None:
    """Build the pocket world's rows for all three stages. After an interruption, the same command continues."""
    output, chosen, sizes = options.output, PRESETS[options.preset], options.sizes()
    num_queries = sizes.sft + sizes.dpo + sizes.grpo + sizes.validation + sizes.test
    with progress_bar(num_queries, "query") as advance:
        is_new = build_pocket(
            output,
            sizes,
            seed=options.seed,
            planner=SamplingPlanner(options.seed) if (options.planner or chosen.planner) == "sampling" else plan_query,
            draw=options.draw or chosen.draw,
            scenes=options.scenes,
            jobs=options.jobs,
            on_progress=advance,
        )
    typer.echo(f"{output}: {'written' if is_new else 'already there, nothing to do'}")

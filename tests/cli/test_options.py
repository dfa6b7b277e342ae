"""Commands whose options are a dataclass: the options in typer, and the values for the command."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from stages.cli.options import Only, from_options


@dataclass(frozen=True, kw_only=True)
class Shared:
    size: Annotated[int, typer.Option(min=1, help="of each")] = 3
    colour: Annotated[str, typer.Option(help="of all")] = "red"


@dataclass(frozen=True, kw_only=True)
class Options:
    name: Annotated[str, typer.Argument(help="who")]
    shared: Shared = field(default_factory=Shared)
    chosen: Annotated[Shared, Only(())] = field(default_factory=Shared)
    loud: Annotated[bool, typer.Option("--loud", help="in capitals")] = False


@pytest.fixture
def run():
    app, seen = typer.Typer(), []

    def greet(options: Options) -> None:
        """Greet somebody."""
        seen.append(options)

    app.command()(from_options(greet))
    return lambda *words: (CliRunner().invoke(app, list(words)), seen)


def test_each_field_is_an_option_and_a_dataclass_stands_for_its_own(run):
    done, seen = run("Ada", "--size", "5", "--loud")
    assert done.exit_code == 0
    assert seen == [Options(name="Ada", shared=Shared(size=5), loud=True)]


def test_bounds_defaults_and_help_are_those_beside_the_field(run):
    assert run("Ada")[1] == [Options(name="Ada")]
    assert run("Ada", "--size", "0")[0].exit_code == 2
    shown = run("--help")[0].output
    assert "Greet somebody." in shown
    assert "in capitals" in shown


def test_only_named_options_are_offered_and_the_others_keep_their_defaults():
    seen = []

    def paint(options: Annotated[Shared, Only(("size",))]) -> None:
        seen.append(options)

    app = typer.Typer()
    app.command()(from_options(paint))
    assert CliRunner().invoke(app, ["--colour", "blue"]).exit_code == 2
    assert CliRunner().invoke(app, ["--size", "4"]).exit_code == 0
    assert seen == [Shared(size=4)]


def test_a_parameter_that_is_no_dataclass_is_a_mistake():
    def greet(options: Shared, name: str) -> None:
        """Mix both."""

    with pytest.raises(TypeError, match="greet: every parameter must be a dataclass of options"):
        from_options(greet)

"""Templates that are package data and become plain text or Markdown: prompts for models, pages and cards for people."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template


@cache
def plain_template(package: str, path: str, *, trims: bool = True, strips: bool = False) -> Template:
    """Return a template; a missing name is an error when it is rendered.

    Args:
        package: the top-level package that holds it.
        path: inside of it, such as "plans/prompts/full.j2".
        trims: the line break behind a block goes away; without, all line breaks stay.
        strips: the blanks before a block go away too.
    """
    # Escaping for HTML would change what a model reads, and garble Markdown.
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=trims,
        lstrip_blocks=strips,
        keep_trailing_newline=not trims,
        autoescape=False,  # noqa: S701
    )
    return environment.from_string(files(package).joinpath(path).read_text(encoding="utf-8"))

"""The sources that come with the package, by name."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from data.sources.declared.spec import SourceSpec, parse_spec, read_spec
from data.sources.reading.records import SourceError
from protocol.nearest import nearest

_CATALOGUE = Path(str(files("data").joinpath("sources/catalogue")))


@cache
def built_in_sources() -> dict[str, SourceSpec]:
    """Return every source of `catalogue/`, by name."""
    paths = sorted(_CATALOGUE.glob("*/*.yaml"), key=lambda path: path.name)
    specs = [parse_spec(path.read_text(encoding="utf-8"), str(path.relative_to(_CATALOGUE.parent))) for path in paths]
    return {spec.name: spec for spec in specs}


def source_text(name: str) -> str:
    """Return the YAML of a source of the catalogue; it can serve as an example."""
    (path,) = _CATALOGUE.glob(f"*/{name}.yaml")
    return path.read_text(encoding="utf-8")


def find_source(name: str) -> SourceSpec:
    """Return the source with this name, or the source that a YAML file declares.

    Raises:
        SourceError: neither exists, or the file has mistakes.
    """
    if name.endswith((".yaml", ".yml")):
        return read_spec(Path(name))
    known = built_in_sources()
    if name not in known:
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        own = "hint: for your own set, write a YAML file and give its path"
        raise SourceError(f"no source {name!r}; {hint}\n{own}")
    return known[name]

"""How a notebook is run, and what of it is stored: shared by the tests and by `renew`.

A cell with the tag `parameters` may be followed by other values, as papermill does it. A cell with the tag `varies`
shows what depends on the run or the machine; the text of every other cell is the same wherever it runs.
"""

import hashlib
import json
from importlib.resources import files

import nbformat
import yaml
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from data.building.build import BUILDER
from data.pocket.world import WORLD_VERSION
from stages.tracking.files import digest_of
from tests.conftest import REPOSITORY
from toolkit.catalogue import fingerprint

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NOTE = "tritrace"
"""Key of a notebook's metadata: what its stored outputs were made from."""
RECIPES = ("curriculum", "sft", "dpo", "grpo")


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_parameters(notebook):
    return any("parameters" in tags(cell) for cell in notebook.cells)


def executed(path, **parameters):
    """Return a notebook with the outputs of a run in its folder, where Jupyter runs it, with other parameters."""
    notebook = nbformat.read(path, as_version=4)
    given = new_code_cell("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
    if parameters:
        at = next(index for index, cell in enumerate(notebook.cells) if "parameters" in tags(cell))
        notebook.cells.insert(at + 1, given)
    place = {"metadata": {"path": FOLDER}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=place, record_timing=False).execute()
    notebook.cells = [cell for cell in notebook.cells if cell.id != given.id]
    for cell in code_cells(notebook):
        cell.outputs = [_at_home(each) for each in cell.outputs if each.get("name") != "stderr"]  # libraries warn
    return notebook


def _at_home(output):
    """Return an output with paths relative to the repository."""
    for holder in (output, output.get("data", {})):
        for name, text in holder.items():
            if isinstance(text, str):
                holder[name] = text.replace(f"{REPOSITORY}/", "")
    return output


def texts(cell):
    """Return what a cell prints, and the plain form of what it shows."""
    printed = "".join(each.text for each in cell.outputs if each.output_type == "stream")
    return printed, [each.data["text/plain"] for each in cell.outputs if "data" in each]


def kinds(cell):
    """Return in which forms a cell shows something."""
    return {kind for each in cell.outputs for kind in each.get("data", {each.output_type: ""})}


def made_from(notebook):
    """Return what stored outputs follow from: the code of the cells, and where there is a run, what that is made of."""
    found = {"cells": hashlib.sha256("\0".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()[:16]}
    if has_parameters(notebook):
        folder = files("stages.recipes").joinpath("pocket")
        recipes = {name: yaml.safe_load(folder.joinpath(f"{name}.yaml").read_text("utf-8")) for name in RECIPES}
        found |= {"world": WORLD_VERSION, "rows": str(BUILDER), "language": fingerprint()}
        base = json.loads(files("stages.pocket").joinpath("base", "fingerprint.json").read_text("utf-8"))
        found |= {"base": base["fingerprint"][:16], "recipes": digest_of(recipes)}
    return found

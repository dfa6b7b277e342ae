"""Every notebook runs from top to bottom, and carries the outputs of its cells."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


def has_output(notebook):
    """Return for each cell of code whether it shows something; warnings of libraries do not count."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [any(each.get("name") != "stderr" for each in cell.outputs) for cell in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_its_stored_outputs_are_of_these_cells(path):
    notebook = nbformat.read(path, as_version=4)
    stored = has_output(notebook)
    assert any(stored)
    assert not any(name in path.read_text(encoding="utf-8") for name in ("/tmp/", "/home/", "Traceback"))  # noqa: S108
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    assert has_output(notebook) == stored

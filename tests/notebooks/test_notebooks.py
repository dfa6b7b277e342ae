"""Every notebook runs from top to bottom, and what is stored in it is what its cells show today.

Notebook 06 trains the pocket model for a few steps, and 02 and 05 read its run. What they show depends on the run, so
that only its forms are compared; the text of all other cells has to be the stored one, word by word.
"""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.notebooks.books import NOTE, NOTEBOOKS, code_cells, executed, has_parameters, kinds, made_from, tags, texts

READS_A_RUN, TRAINS = ("02", "05"), "06"
SIZES = "--sft 16 --dpo 4 --grpo 8 --validation 18 --test 0 --pairs-per-query 1"
FLAGS = (
    "--sft.max_steps=2 --dpo.max_steps=1 --grpo.max_steps=1 --grpo.per_device_train_batch_size=8 "
    "--grpo.zero_spread=keep --grpo.max_completion_length=32 --grpo.overlong_window=32 --grpo.temperature=1 "
    "--eval_max_new_tokens=32"
)
"""So few steps teach no trace, for which nothing is paid: by the penalty on length the rewards of a group differ."""
PICTURES = {"image/png", "image/jpeg"}
RENEW = "the stored outputs are out of date: make notebooks"
by_number = {path.name[:2]: path for path in NOTEBOOKS}


def stored(number):
    return nbformat.read(by_number[number], as_version=4)


def test_the_notebooks_are_numbered():
    assert list(by_number) == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("number", by_number)
def test_stored_outputs_name_no_place_of_a_machine_and_are_small(number):
    outputs = [each for cell in code_cells(stored(number)) for each in cell.outputs]
    shown = [text for each in outputs for kind, text in each.get("data", {}).items() if kind not in PICTURES]
    text = "\n".join([*shown, *(each.get("text", "") for each in outputs)])
    named = ("/tmp/", "/home/", "/root", "/work", "127.0.0.1", "Traceback", "Warning")  # noqa: S108
    assert [name for name in named if name in text] == []
    assert "stderr" not in {each.get("name") for each in outputs}
    assert by_number[number].stat().st_size < 200 * 2**10


@pytest.mark.parametrize("number", by_number)
def test_stored_outputs_are_of_these_cells_and_of_a_run_of_this_code(number):
    notebook = stored(number)
    assert any(cell.outputs for cell in code_cells(notebook))
    assert notebook.metadata[NOTE] == made_from(notebook), RENEW


@pytest.fixture(scope="session")
def trained(once):
    """Return the folder in which notebook 06 has trained, and itself as it was executed."""

    def train(path):
        path.mkdir()
        given = {"WORK": f"{path}/work", "RUN": f"{path}/run", "SIZES": SIZES, "FLAGS": FLAGS}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}/mlflow.db")
            nbformat.write(executed(by_number[TRAINS], **given), path / "executed.ipynb")

    return once("notebooks", train)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("number", by_number)
def test_the_notebook_runs_and_shows_what_is_stored(number, request):
    if number in {*READS_A_RUN, TRAINS}:
        folder = request.getfixturevalue("trained")
        found = nbformat.read(folder / "executed.ipynb", as_version=4)
        if number in READS_A_RUN:
            found = executed(by_number[number], RUN=f"{folder}/run")
        assert differences(stored(number), found, {f"{folder}/work": "runs/one-gpu"}) == [], RENEW
    else:
        found = executed(by_number[number])
        assert differences(stored(number), found) == [], RENEW
    assert has_parameters(found) == (number in {*READS_A_RUN, TRAINS})


def differences(before, now, places=()):
    """Return the code of each cell that shows something else than what is stored, with both.

    Args:
        before: the notebook as it is stored.
        now: as it was executed.
        places: what its folders are called in the stored one.
    """
    found = []
    for old, new in zip(code_cells(before), code_cells(now), strict=True):
        printed, shown = texts(new)
        for own, usual in dict(places).items():
            printed = printed.replace(own, usual)
        if kinds(new) != kinds(old):
            found.append((new.source, kinds(old), kinds(new)))
        elif "varies" not in tags(new) and (printed, shown) != texts(old):
            found.append((new.source, texts(old), (printed, shown)))
    return found


def test_a_changed_word_or_a_missing_picture_is_a_difference():
    def notebook(text, kind, *marks):
        shown = new_output("display_data", {kind: "", "text/plain": "a figure"})
        cells = [new_code_cell("1", outputs=[new_output("stream", text=text)]), new_code_cell("2", outputs=[shown])]
        cells[0].metadata["tags"] = list(marks)
        return new_notebook(cells=cells)

    whole = notebook("three words here", "image/png")
    assert differences(whole, notebook("three words here", "image/png")) == []
    assert [cell for cell, *_ in differences(whole, notebook("three words", "image/png"))] == ["1"]
    assert differences(whole, notebook("three words", "image/png", "varies")) == []
    assert [cell for cell, *_ in differences(whole, notebook("three words here", "text/html"))] == ["2"]
    assert differences(whole, notebook("three words at x", "image/png"), {"at x": "here"}) == []

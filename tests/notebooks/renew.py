"""Runs the notebooks and stores their outputs: `make notebooks`, or some of them by number,

    python -m tests.notebooks.renew 01 03

Some read the run of `make quickstart`. It is trained first where it is missing or out of date: eight minutes. What is
stored is always of the CPU, so that everybody can renew it.
"""

import os
import sys

import nbformat

from stages.curriculum import run_curriculum
from tests.notebooks.books import NOTE, NOTEBOOKS, executed, has_parameters, made_from


def main(numbers):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    chosen = [path for path in NOTEBOOKS if not numbers or path.name[:2] in numbers]
    if any(has_parameters(nbformat.read(path, as_version=4)) for path in chosen):
        run_curriculum("stages/recipes/pocket/curriculum.yaml")
    for path in chosen:
        notebook = executed(path)
        notebook.metadata[NOTE] = made_from(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 2**10:.0f} KiB")  # noqa: T201 -- a command of the house


if __name__ == "__main__":
    main(sys.argv[1:])

"""Checks of the documents: paths exist, links have targets, and maps name every room.

Each test collects all faults before it fails, so that one run shows all of them.
"""

import re
from itertools import chain

import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("protocol", "toolkit", "data", "eval", "stages")
TOP = (*PACKAGES, "tests", "notebooks")
PAGES = sorted(
    {
        *REPOSITORY.glob("*.md"),
        *chain.from_iterable((REPOSITORY / folder).rglob("*.md") for folder in TOP),
    }
)
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(TOP)})/[\w./-]*[\w/]")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(page):
    return page.relative_to(REPOSITORY).as_posix()


def prose(page):
    return page.read_text(encoding="utf-8")


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    without_code = re.sub(r"(?ms)^```.*?^```", "", prose(page))
    headings = re.findall(r"^#+ (.*)$", without_code, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def code_of(page):
    """Return the inline code of a page."""
    return [*re.findall(r"`([^`\n]+)`", prose(page)), *re.findall(r"(?m)^    .*$", prose(page))]


def test_the_pages_are_found():
    assert {"README.md", "CONTRIBUTING.md", "RESULTS.md", *(f"{package}/README.md" for package in PACKAGES)} <= {
        name(page) for page in PAGES
    }


def test_every_path_of_the_repository_that_a_page_names_exists():
    named = [(name(page), path) for page in PAGES for code in code_of(page) for path in PATH.findall(code)]
    assert len(named) > 60
    assert [(page, path) for page, path in named if "..." not in path and not (REPOSITORY / path).exists()] == []


def test_every_link_leads_to_a_file_and_a_heading():
    wrong = []
    for page in PAGES:
        for link in LINK.findall(prose(page)):
            if link.startswith(("http://", "https://", "data:", "{{")):
                continue
            target, _, anchor = link.partition("#")
            file = page if not target else page.parent / target
            if not file.exists() or (anchor and anchor not in anchors(file)):
                wrong.append((name(page), link))
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_of_a_package_names_every_room_and_only_those(package):
    folder = REPOSITORY / package
    text = prose(folder / "README.md")
    table = re.search(r"(?m)^\| (?:room|file) \| what one comes for \|\n(?:\|.*\n)+", text)[0]
    mapped = {
        entry
        for row in re.findall(r"^\| (`[^|]*) \|", table, flags=re.MULTILINE)
        for entry in re.findall(r"`([\w.-]+/|[\w.-]+\.(?:py|toml|yaml|j2|lark))`", row)
    }
    rooms = {
        path.name + "/" * path.is_dir()
        for path in folder.iterdir()
        if (path.is_dir() and path.name != "__pycache__") or path.suffix == ".py"
    } - {"__init__.py", "__main__.py"}
    assert rooms - mapped == set()
    assert [entry for entry in sorted(mapped) if not (folder / entry).exists()] == []
    assert "**Read in this order**" in text


def test_make_installs_what_every_command_of_the_way_imports():
    installed = re.findall(r'--editable "\.\[([\w,]+)\]"', prose(REPOSITORY / "Makefile"))
    users, developers = (set(each.split(",")) for each in installed)
    assert users == {"train", "check", "judge", "serve"}
    assert users < developers
    for page in ("README.md", "data/README.md"):
        own = prose(REPOSITORY / page).partition("## Your ")[2].partition("\n## ")[0]
        assert "tritrace data check" in own
        assert "pip install" not in own

"""A GPU check that brings its packages: they are installed beside what is there, and the time counts."""

import subprocess
import sys
import zipfile

import pytest

from tests.bench import gpu_wheels
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.process


def test_versions_are_those_of_the_constraints():
    constraints = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    (trl,) = gpu_wheels.pinned(["trl"], constraints)
    assert f"\n{trl}\n" in constraints
    with pytest.raises(SystemExit, match="no version of no-such-package"):
        gpu_wheels.pinned(["trl", "no-such-package"], constraints)


@pytest.fixture
def wheel(tmp_path):
    """A package of one line."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "brought_along-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("brought_along.py", "WORD = 'here'\n")
        info = "brought_along-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: brought-along\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder


def test_the_check_sees_what_was_brought_and_the_minutes_that_are_left(wheel, tmp_path, monkeypatch):
    seen = tmp_path / "seen.txt"
    place = tmp_path / "root" / "tests" / "bench"
    place.mkdir(parents=True)
    for package in (place, place.parent):
        (package / "__init__.py").touch()
    say = f"import sys, brought_along; open({str(seen)!r}, 'w').write(' '.join([brought_along.WORD, *sys.argv[1:]]))"
    (place / "gpu_check.py").write_text(say)
    monkeypatch.setattr(gpu_wheels, "ROOT", tmp_path / "root")
    assert gpu_wheels.run(wheel, ["--rehearse"]) == 0
    word, minutes, last = seen.read_text().split()
    assert (word, last) == ("here", "--rehearse")
    assert 11 < float(minutes.removeprefix("--minutes=")) < 12
    assert subprocess.run([sys.executable, "-c", "import brought_along"], capture_output=True, check=False).returncode


def test_a_folder_without_wheels_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="has no wheels; see `collect`"):
        gpu_wheels.run(tmp_path, [])

"""`gpu_check.py` on a machine with a GPU and without a network: what it lacks is brought along as wheels.

    python tests/bench/gpu_wheels.py collect wheels --python 3.12 trl peft datasets bitsandbytes    # with a network
    python tests/bench/gpu_wheels.py run wheels                                                     # with the GPU

`collect` takes the versions of `constraints.txt`; name every package that the machine lacks or has in another version,
since nothing is fetched that is not named. `run` installs them into a folder of its own, beside what Python has there,
which is left as it is. The twelve minutes of the check begin before that. Further words, such as `--rehearse`, are
handed on. Only the standard library is needed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTES = 12.0
GLIBC = (17, 24, 26, 27, 28, 31, 34, 35, 39)
"""Of manylinux_2_N, which pip matches one by one."""


def pinned(names, constraints):
    """Return packages with their versions.

    Raises:
        SystemExit: some have none in the constraints.
    """
    version_of = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE))
    if missing := [name for name in names if name not in version_of]:
        raise SystemExit(f"constraints.txt has no version of {', '.join(missing)}; names are written as there")
    return [f"{name}=={version_of[name]}" for name in names]


def collect(folder, python, names):
    """Fetch wheels for another machine."""
    tags = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    tags += ["--platform=manylinux2014_x86_64", f"--python-version={python}", "--implementation=cp"]
    packages = pinned(names, (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        *tags,
        "--dest",
        str(folder),
    ]
    return subprocess.run([*command, *packages], check=False).returncode


def run(folder, words):
    """Install the wheels and check the GPU in the time that is left."""
    began = time.monotonic()
    wheels = sorted(map(str, folder.glob("*.whl")))
    if not wheels:
        raise SystemExit(f"{folder}: has no wheels; see `collect`")
    with tempfile.TemporaryDirectory(prefix="tritrace-wheels-") as site:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--target",
            site,
            *wheels,
        ]
        if code := subprocess.run(command, check=False).returncode:
            return code
        left = MINUTES - (time.monotonic() - began) / 60
        sys.stdout.write(f"installed {len(wheels)} wheels in {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([site, str(ROOT)])}
        check = [sys.executable, "-m", "tests.bench.gpu_check", f"--minutes={left:.2f}", *words]
        return subprocess.run(check, cwd=ROOT, env=environment, check=False).returncode


def main():
    """Collect wheels, or run the check with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    collecting = actions.add_parser("collect")
    collecting.add_argument("folder", type=Path)
    collecting.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    collecting.add_argument("names", nargs="+")
    running = actions.add_parser("run")
    running.add_argument("folder", type=Path)
    options, words = parser.parse_known_args()
    if options.action == "run":
        return run(options.folder, words)
    return collect(options.folder, options.python, options.names)


if __name__ == "__main__":
    sys.exit(main())

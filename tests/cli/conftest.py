"""Fixtures: runs a command in this process, and writes its input files."""

import io
import json
import sys
from functools import cache

import pytest
import typer

from stages import __main__ as command_line


@cache
def commands():
    """Return all commands, which typer would build anew at each call."""
    return typer.main.get_command(command_line.app)


@pytest.fixture
def tritrace(capsys, monkeypatch):
    """Run a command; return exit code, standard output and standard error."""
    monkeypatch.setattr(command_line, "app", commands())

    def run(*args, stdin=""):
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "argv", ["tritrace", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file: text or bytes unchanged, a list as JSON Lines."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(map(json.dumps, content)) if isinstance(content, list) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write

"""Publishing an export: the upload is private and complete, and is refused if necessary."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest

from protocol.errors import UserError
from stages.export.publish import push, to_gguf
from stages.provenance.export_mark import MARK


class Hub:
    """The part of the Hub's API for an upload; every file is small enough to be part of the commit."""

    def __init__(self, *, is_private=True, status=200):
        self.created, self.files = None, {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self, value, code=200):
                body = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.reply({"id": "me/mine", "private": is_private, "siblings": [], "tags": []})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/api/repos/create":
                    hub.created = json.loads(body)
                    self.reply({"url": f"{hub.url}/me/mine"} if status == 200 else {"error": "no"}, status)
                elif self.path == "/api/validate-yaml":  # the card's
                    self.reply({"errors": [], "warnings": []})
                elif "/preupload/" in self.path:
                    names = [each["path"] for each in json.loads(body)["files"]]
                    self.reply({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
                elif "/commit/" in self.path:
                    lines = [json.loads(line) for line in body.splitlines()]
                    found = [line["value"] for line in lines if line["key"] == "file"]
                    hub.files |= {each["path"]: base64.b64decode(each["content"]) for each in found}
                    self.reply({"commitUrl": f"{hub.url}/c/1", "commitOid": "1", "success": True})
                else:
                    self.reply({"error": self.path}, 404)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def _reaching_out(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "export"
    (folder / "plans").mkdir(parents=True)
    (folder / "README.md").write_text("# A card\n")
    (folder / "plans" / "index.json").write_text("[]")
    (folder / MARK).write_text(json.dumps({"tritrace_export": 1, "files": {}}))
    return folder


def test_an_export_is_pushed_whole_and_private(export):
    with Hub() as hub:
        assert push(export, "me/mine", endpoint=hub.url) == f"{hub.url}/me/mine"
    assert (hub.created["name"], hub.created["organization"]) == ("mine", "me")
    assert hub.created.get("private") is True or hub.created.get("visibility") == "private"
    assert set(hub.files) == {"README.md", "plans/index.json", MARK}
    assert hub.files["README.md"] == b"# A card\n"


def test_a_public_repository_wants_to_be_meant(export):
    with Hub(is_private=False) as hub:
        with pytest.raises(UserError, match="--public"):
            push(export, "me/mine", endpoint=hub.url)
        assert hub.files == {}
        push(export, "me/mine", endpoint=hub.url, is_public=True)
    assert hub.files


def test_a_hub_that_refuses_is_told_and_how_to_go_on(export):
    with Hub(status=403) as hub, pytest.raises(UserError, match="hf auth login"):
        push(export, "me/mine", endpoint=hub.url)


def test_what_is_no_export_is_not_pushed(tmp_path):
    with pytest.raises(UserError, match="is not an export"):
        push(tmp_path, "me/mine", endpoint="http://127.0.0.1:1")


CONVERTER = """import sys
from pathlib import Path
folder, target = sys.argv[1], sys.argv[sys.argv.index("--outfile") + 1]
if "fails" in Path(folder, "config.json").read_text():
    sys.exit("Model FailsForCausalLM is not supported")
Path(target).write_bytes(b"GGUF")
"""


@pytest.fixture
def converter(tmp_path):
    path = tmp_path / "llama.cpp" / "convert_hf_to_gguf.py"
    path.parent.mkdir()
    path.write_text(CONVERTER)
    return path


def test_a_merged_export_becomes_a_file_beside_it(export, converter):
    (export / "config.json").write_text("{}")
    assert to_gguf(export, converter.parent).read_bytes() == b"GGUF"
    assert to_gguf(export, converter, "bfloat16") == export.with_name("export.gguf")


def test_a_family_that_llama_cpp_does_not_know_is_told_in_its_words(export, converter):
    (export / "config.json").write_text('"fails"')
    with pytest.raises(UserError, match="FailsForCausalLM is not supported"):
        to_gguf(export, converter)


def test_an_adapter_is_no_gguf(export, converter):
    with pytest.raises(UserError, match="--merge"):
        to_gguf(export, converter)
    with pytest.raises(UserError, match="no such file"):
        to_gguf(export, converter.parent.parent / "elsewhere")

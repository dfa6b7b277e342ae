"""Publishes an export: uploads it to the Hugging Face Hub, or converts it to a GGUF file.

The Hub's own client uploads, with its login (`hf auth login`, or `HF_TOKEN`) and to `HF_ENDPOINT` if that is set. A
repository is private by default. llama.cpp's own converter makes the GGUF file, in a separate process; it reports an
error for families that llama.cpp cannot run.
"""

import os
import subprocess
import sys
from pathlib import Path

from protocol.errors import UserError
from stages.provenance.export_mark import exported_files

CONVERTER = "convert_hf_to_gguf.py"
"""Name of the script in the repository of llama.cpp."""


def push(folder: Path, repository: str, *, is_public: bool = False, endpoint: str | None = None) -> str:
    """Upload an export with its card, and return its address.

    Args:
        folder: an export.
        repository: NAME or OWNER/NAME; created if it does not exist.
        is_public: make the repository public; otherwise it is private, and an existing public one is an error.
        endpoint: address of the Hub; None uses the environment's.

    Raises:
        UserError: the folder is not an export, the repository is public, or the Hub rejects the upload.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if exported_files(folder) is None:
        raise UserError(f"{folder}: is not an export of `tritrace export`")
    api = HfApi(endpoint=endpoint or os.environ.get("HF_ENDPOINT") or None)
    try:
        found = api.create_repo(repository, private=not is_public, exist_ok=True)
        _check_private(is_public or bool(api.model_info(found.repo_id).private), repository)
        api.upload_folder(repo_id=found.repo_id, folder_path=folder, commit_message="An export of tritrace")
    except UserError:
        raise
    except OfflineModeIsEnabled:
        raise UserError("--push: HF_HUB_OFFLINE is set; unset it to reach the Hub") from None
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        hint = f"hint: `hf auth login` first; the export is complete, `hf upload {repository} {folder}` sends it"
        raise UserError(f"--push {repository}: {reason}\n{hint}") from None
    return str(found)


def _check_private(is_as_meant: bool, repository: str) -> None:
    if not is_as_meant:
        raise UserError(f"--push {repository}: is public already; add --public to upload to it")


def to_gguf(folder: Path, converter: Path, dtype: str = "auto") -> Path:
    """Convert a merged export with llama.cpp's script, and return the file, which is beside the folder.

    Raises:
        UserError: there is no such script, the export is not merged, or the script fails.
    """
    if converter.is_dir():
        converter = converter / CONVERTER
    if not converter.is_file():
        raise UserError(f"--gguf {converter}: no such file; give llama.cpp's folder, or its {CONVERTER}")
    if exported_files(folder) is None or not (folder / "config.json").is_file():
        raise UserError("--gguf: needs a merged model; add --merge")
    target = folder.with_name(f"{folder.name}.gguf")
    kind = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}.get(dtype, "auto")
    command = [sys.executable, str(converter), str(folder), "--outfile", str(target), "--outtype", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user named it
    if done.returncode or not target.is_file():
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise UserError(f"--gguf: {converter.name} ended with exit {done.returncode}:\n{said}")
    return target

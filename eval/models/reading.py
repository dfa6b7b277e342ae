"""Reads the files of a model folder by transformers, and reports what is wrong with them as one error."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import PreTrainedConfig

from eval.families import refusal_of
from eval.models.bounds import config_problem
from eval.models.options import LoadOptions
from protocol.errors import UserError

_UNREADABLE = (
    *(OSError, ValueError, RuntimeError, SafetensorError),
    *(ImportError, NotImplementedError),  # an attention kernel or a reader that is not installed
    *(TypeError, KeyError, AttributeError, IndexError, ZeroDivisionError),  # files with unexpected content
    StrictDataclassError,
)
"""Exceptions of transformers for a folder that it cannot read. Its readers do not check their input."""


class ModelError(UserError):
    """A model cannot be loaded; the message names the model and the reason."""


def split_gguf(model: str) -> tuple[str, str | None]:
    """Split a model's name into its place and its GGUF file, which is the last part of the name, or None."""
    if not model.endswith(".gguf"):
        return model, None
    folder, _, name = model.rpartition("/")
    return folder or ".", name


def refuse_by_config(model: str, options: LoadOptions) -> None:
    """Reject families that do not work, and sizes beyond any real model, before a configuration is built."""
    if split_gguf(model)[1] is not None:
        return
    record, _ = read_files(model, PreTrainedConfig.get_config_dict, options)
    if not isinstance(record, dict):
        raise ModelError(f"model {model!r}: config.json: expected a JSON object, found {type(record).__name__}")
    if refusal := refusal_of(str(record.get("model_type", ""))):
        raise ModelError(f"model {model!r}: is {refusal}")
    if problem := config_problem(record):
        raise ModelError(f"model {model!r}: config.json: {problem}")


def read_files(model: str, load: Any, options: LoadOptions, **keywords: Any) -> Any:
    """Return what a function of transformers, such as `AutoConfig.from_pretrained`, reads from a model's files.

    Raises:
        ModelError: the files are missing, cannot be read, or need code that the options do not allow.
    """
    location, gguf_file = split_gguf(model)
    if location.count("/") > 1 and not Path(location).exists():  # not a name on the hub: too many parts
        raise ModelError(f"model {model!r}: there is no folder {Path(location).absolute()}; name it in full")
    keywords["trust_remote_code"] = options.trust_remote_code
    if options.revision:
        keywords["revision"] = options.revision
    if gguf_file:
        keywords["gguf_file"] = gguf_file
    try:
        return load(location, **keywords)
    except _UNREADABLE as error:
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[:2])
        if "trust_remote_code" in str(error) and not options.trust_remote_code:
            reason = (
                "needs Python files of its own folder, which are not run; if you trust their authors, "
                "--trust-remote-code (in a recipe trust_remote_code: true) runs them"
            )
        raise ModelError(f"model {model!r}: {reason}") from error

"""Streams records from the Hugging Face Hub through `datasets`: only the records that are read are downloaded.

Gated sets, such as VLGuard, need `huggingface-cli login` first. A local folder in the Hub's layout works too.
"""

from collections.abc import Iterator
from typing import Any

from data.sources.declared.spec import Hub
from data.sources.reading.records import Record, SourceError, Unreadable


def read_hub(hub: Hub, split: str) -> Iterator[Record | Unreadable]:
    """Yield the records of all configurations, of the given split or else of the splits that the source names.

    Pictures stay encoded as {"bytes", "path"}, the format of `datasets`.

    Raises:
        SourceError: `datasets` is not installed, or the set, configuration or split does not exist.
    """
    for config in hub.configs or (None,):
        for name in (split,) if split else hub.splits:
            yield from _stream(hub.id, config, name)


def _stream(name: str, config: str | None, split: str) -> Iterator[Record | Unreadable]:
    where = f"hub:{name}/{config or 'default'}/{split}"
    rows = iter(_opened(name, config, split))
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - whatever a remote file or its loader raises ends this stream only
            yield Unreadable(f"{where}: row {number}", f"{type(error).__name__}: {error}; the rest cannot be read")
            return
        yield Record(row, f"{where}: row {number}", file=name, key=str(number), split=split, config=config or "")
        number += 1


def _opened(name: str, config: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        hint = "install it with: pip install 'tritrace[data]'"
        raise SourceError(f"reading from the Hub needs datasets; {hint}") from None
    try:
        return datasets.load_dataset(name, config, split=split, streaming=True).decode(False)
    except (OSError, ValueError) as error:  # not found, no network, no such configuration or split
        reason = " ".join(str(error).split())[:300]
        hint = "hint: is it gated, or is this machine offline? Files that are already here: --from FOLDER"
        raise SourceError(f"hub:{name}/{config or 'default'}/{split}: {reason}\n{hint}") from None

"""What tests of every folder share: the pretrained pocket model, made once and kept where the quickstart keeps it."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def pocket_model_path(tmp_path_factory):
    """Return the folder of the pocket model that the quickstart uses; only tests marked slow may ask for it."""
    from data.build import Sizes, build_pocket
    from data.files import read_rows
    from data.rows import SFTRow
    from stages.pocket.corpus import TraceText
    from stages.pocket.pretrain import cached_pocket_model

    # The rows are built apart from the quickstart's, which may have other sizes; the same sizes give the same model.
    data = tmp_path_factory.mktemp("pocket-data")
    build_pocket(data, Sizes(), seed=0)
    rows = read_rows(data / "sft.jsonl", SFTRow)
    texts = [TraceText(row.prompt[0]["content"], row.completion[0]["content"]) for row in rows]
    return cached_pocket_model(REPOSITORY / "runs" / "pocket" / "model", trace_texts=texts, seed=0)


@pytest.fixture(autouse=True)
def _no_waiting_between_requests(monkeypatch):
    """Requests are made again at once where the server does not say when: the client waits half a second and more."""
    if importlib.util.find_spec("openai"):
        monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)

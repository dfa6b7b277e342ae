"""What tests of every folder share: the pocket base that ships."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def pocket_model_path(tmp_path_factory):
    """Return the folder of the pocket base that ships."""
    from stages.pocket.shipped import pocket_base

    return pocket_base(tmp_path_factory.mktemp("pocket-model"))


@pytest.fixture(autouse=True)
def _no_waiting_between_requests(monkeypatch):
    """Requests are made again at once where the server does not say when: the client waits half a second and more."""
    if importlib.util.find_spec("openai"):
        monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)

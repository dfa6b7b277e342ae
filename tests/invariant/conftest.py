"""The tiny model and its rows, from the tests of the stages."""

from tests.stages.conftest import (  # noqa: F401 - fixtures
    _one_thread_and_shared_store,
    parent,
    parse,
    rows_folder,
    tiny_model_path,
)

"""The tiny model and its rows, as the tests of the stages have them."""

from tests.stages.conftest import (  # noqa: F401 - fixtures
    _one_thread_and_shared_store,
    parse,
    rows_folder,
    tiny_model_path,
)

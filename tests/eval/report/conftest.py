"""A real browser for the tests of the report: playwright's own Chromium, or the one that the system has."""

import shutil

import pytest

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Return a running Chromium; without any the tests are skipped, and say how to get one.

    Playwright keeps an event loop running in this thread, in which `asyncio.run` is refused; it ends with the one
    file that asked for it.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra")
    with playwright.sync_playwright() as started:
        path = next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
        try:
            running = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: run `playwright install chromium`, or install chromium ({str(error)[:80]})")
        yield running
        running.close()

"""A real browser for the tests of the report: playwright's Chromium, or the system's."""

import shutil

import pytest

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Return a running Chromium; without one, the tests are skipped with a hint how to install it.

    Playwright keeps an event loop running in this thread, in which `asyncio.run` fails. So it ends with the test file
    that uses it.
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

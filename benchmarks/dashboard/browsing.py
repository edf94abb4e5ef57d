"""A headless Chromium, and jobs for it to look at."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from luthier.client import Client

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
WAIT = 600_000  # milliseconds until something that is waited for counts as lost
SPACE = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 96, "step": 8},
    "activation": {"type": "choice", "values": ["relu", "tanh", "selu"]},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 3e-2, "sampling": "log"},
    "batch_size": {"type": "choice", "values": [16, 32, 64]},
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium until the end of the block; RuntimeError without one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        raise RuntimeError("There is no Chromium. `make chromium` installs Debian's package.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def context_of(browser: Browser, **options: Any) -> BrowserContext:
    """Open a context, which waits as long as a busy machine needs."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}} | options)
    context.set_default_timeout(WAIT)
    return context


def tune(client: Client, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job that has succeeded."""
    job = client.wait(client.tune({"search_space": SPACE, **request})["id"])
    if job["state"] != "succeeded":
        raise RuntimeError(f"The job {job['id']} is {job['state']}: {job['error']}")
    return job

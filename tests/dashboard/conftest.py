"""A real service in a real headless Chromium, and a watch on what its pages do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from luthier.client import Client
from tests.conftest import Service
from tests.waiting import PATIENCE

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"
PHONE: ViewportSize = {"width": 375, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 900}

# A search of two small networks, scored on one split: about as quick as a job can be.
QUICK = {
    "search_space": {"num_layers": 1, "units": {"type": "int", "min": 4, "max": 64}},
    "strategy": "random",
    "budget": {"max_trials": 2, "epochs": 3},
    "evaluation": {"method": "holdout"},
    "ensemble": 1,
    "refit": False,
    "promote": "always",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

expect.set_options(timeout=PATIENCE * 1000)


@dataclass
class Watch:
    """What the pages of a context did that they should not do."""

    url: str
    refusals: set[int] = field(default_factory=set)  # statuses that a test provokes
    faults: list[str] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.faults.append(f"thrown: {error.error}"))
        context.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        provoked = [f"with a status of {status} " for status in self.refusals]
        if not any(text in message.text for text in provoked):
            self.faults.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")):
            self.faults.append(f"another host: {request.url}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium for the tests of this package.

    It ends with the package: while Playwright runs, its thread has an event loop, which other tests
    may need themselves.
    """
    path = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        pytest.fail("There is no Chromium. `make chromium` installs Debian's package.")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Visitor:
    """Opens pages of one service, and holds what they did wrong."""

    browser: Browser
    url: str
    watch: Watch
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, path: str = "", **options: Any) -> Page:
        """Open `#/path` in a fresh context; `options` are those of a Playwright context."""
        settings: dict[str, Any] = {"viewport": DESK, "reduced_motion": "reduce"} | options
        context = self.browser.new_context(**settings)
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(_TELL_VIOLATIONS)
        self.watch.follow(context)
        self.contexts.append(context)
        page = context.new_page()
        page.goto(f"{self.url}/#/{path}")
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.watch.faults == []


@pytest.fixture
def visitor(browser: Browser, service: Service) -> Iterator[Visitor]:
    """A visitor of the service; in the end no page may have done anything wrong."""
    found = Visitor(browser, service.url, Watch(service.url))
    yield found
    found.close()


@pytest.fixture(scope="package")
def dataset(client: Client) -> str:
    return str(client.upload(PENGUINS)["id"])


def tune(client: Client, dataset: str, **fields: Any) -> dict[str, Any]:
    """Return a quick job on the penguins that has ended."""
    request = QUICK | {"dataset": dataset, "target": "species"} | fields
    job = client.wait(client.tune(request)["id"], every=0.2)
    assert job["state"] == "succeeded", job["error"]
    return job


@pytest.fixture(scope="package")
def jobs(client: Client, dataset: str) -> list[dict[str, Any]]:
    """Two jobs that made the versions 1 and 2 of the model `shown`; 2 is its champion."""
    return [tune(client, dataset, model="shown", seed=seed, tags=["seen"]) for seed in (1, 2)]


def serious_faults(page: Page) -> list[str]:
    """Return what axe calls serious or critical in the present state of a page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def is_wider_than_screen(page: Page) -> bool:
    """Return whether the page scrolls sideways."""
    script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(page.evaluate(script))

"""The pictures of the dashboard in the README and the docs: `make screenshots`.

A service tunes the penguins, then every page is opened and written to `docs/images`, as a PNG of at
most 256 colours.
"""

import argparse
import io
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import BrowserContext, Page

from benchmarks.dashboard.browsing import PENGUINS, chromium, context_of, tune
from benchmarks.server import serving
from luthier.client import Client

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES = 200_000
COLORS = (256, 128, 64, 32)


def main() -> None:
    """Tune, open every page, and write the pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--trials", type=int, default=120)
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with serving() as (url, _), Client(url, timeout=600) as client, ExitStack() as later:
        jobs = fill(client, chosen.trials)
        browser = later.enter_context(chromium())
        light = context_of(browser, color_scheme="light", reduced_motion="reduce")
        dark = context_of(browser, color_scheme="dark", reduced_motion="reduce")
        for name, context, path, height in (
            ("start", light, f"start?dataset={jobs[0]['dataset']}", 1560),
            ("jobs", light, "jobs", 640),
            ("job", light, f"jobs/{jobs[0]['id']}", 1500),
            ("job-dark", dark, f"jobs/{jobs[0]['id']}", 1100),
            ("compare", light, f"compare?jobs={jobs[0]['id']},{jobs[1]['id']}", 900),
            ("model", light, "models/penguins", 1200),
            ("predict", light, "predict?model=species", 900),
        ):
            page = opened(context, f"{url}/#/{path}", height)
            prepare(page, name)
            write(page, chosen.folder / f"{name}.png")
            page.close()


def fill(client: Client, trials: int) -> list[dict[str, Any]]:
    """Make jobs, versions and predictions; the first job is the largest."""
    dataset = client.upload(PENGUINS)["id"]
    mass = {"model": "penguins", "dataset": dataset, "target": "body_mass_g", "tags": ["mass"]}
    quick = {"evaluation": {"method": "holdout"}, "budget": {"max_trials": trials, "epochs": 40}}
    short = {"evaluation": {"method": "holdout"}, "budget": {"max_trials": 30, "epochs": 40}}
    jobs = [
        tune(client, {**mass, **quick, "strategy": "random", "objective": "rmse"}),
        tune(client, {**mass, **quick, "strategy": "bayesian", "objective": "rmse"}),
        tune(
            client,
            {
                **short,
                "model": "species",
                "dataset": dataset,
                "target": "species",
                "objective": "accuracy",
                "tags": ["species"],
            },
        ),
    ]
    sample = client.version("penguins", 1)["signature"]["sample"]
    for _ in range(150):
        client.predict("penguins", [sample])
    client.set_alias("penguins", "canary", weights={"1": 0.9, "2": 0.1})
    return jobs


def opened(context: BrowserContext, address: str, height: int) -> Page:
    """Return a page whose parts and charts are drawn."""
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto(address)
    page.locator("h1").wait_for()
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until nothing is being loaded or drawn."""
    while True:
        page.wait_for_timeout(400)
        loading = page.locator(".loading").count()
        if not loading and not page.locator(".chart:not([data-drawn='true'])").count():
            return


def prepare(page: Page, name: str) -> None:
    """Bring a page into the state that its picture shows."""
    if name == "start":
        page.get_by_label("Column to predict").select_option("body_mass_g")
        page.locator("section .facts").wait_for()
    if name == "predict":
        page.get_by_role("button", name="Predict", exact=True).click()
        page.locator("[data-answer]").wait_for()
        page.evaluate("document.activeElement.blur()")
    time.sleep(0.3)  # until marks of the pointer and the focus are gone
    settle(page)


def write(page: Page, path: Path) -> None:
    """Write what the window shows, with as many colours as fit into MAX_BYTES."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        shown = picture.convert("RGB")
    for colors in COLORS:
        packed = io.BytesIO()
        shown.quantize(colors, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= MAX_BYTES:
            break
    path.write_bytes(packed.getvalue())
    print(f"{path.name}: {packed.tell():,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()

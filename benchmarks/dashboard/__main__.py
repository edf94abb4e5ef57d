"""Bytes and times of the dashboard beside other pages of the same run: `make bench-dashboard`.

The job has 1,000 real random trials. A page is interactive when what it is about is drawn and its
thread has been free of tasks over 50 ms for half a second; the time is the end of the last such
task, counted from the navigation, with an empty cache. The baselines are Swagger UI at `/docs` and
`/healthz`, which shows one line. Frames are those of a brush that is dragged along an axis of the
parallel coordinates; the baseline is the same drag over the heading of that page.
"""

import argparse
from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.table import Table

from benchmarks.dashboard.browsing import PENGUINS, chromium, context_of, tune
from benchmarks.server import serving, wait_until_idle
from luthier.client import Client

CHART = ".chart[data-drawn='true']"
PARALLEL = "Every trial’s values"
QUIET = 500  # ms without a long task
STEPS = 60  # moves of the pointer in one drag

_OBSERVE = """
window.busyUntil = 0;
new PerformanceObserver((list) => {
  const ends = list.getEntries().map((each) => each.startTime + each.duration);
  window.busyUntil = Math.max(window.busyUntil, ...ends);
}).observe({ type: "longtask", buffered: true });
"""
_FRAMES = """
window.frames_ = [];
window.following = true;
let last = performance.now();
const step = (now) => {
  window.frames_.push(now - last);
  last = now;
  if (window.following) requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with serving() as (url, pid), Client(url, timeout=600) as client, chromium() as browser:
        job = _job(client, chosen.trials)
        wait_until_idle(pid)
        pages = {
            "empty page (/healthz)": (f"{url}/healthz", "body"),
            "Swagger UI (/docs)": (f"{url}/docs", ".opblock"),
            "dashboard, Start": (f"{url}/#/start", ".drop"),
            "dashboard, jobs": (f"{url}/#/jobs", "tbody tr a"),
            f"dashboard, job of {chosen.trials:,} trials": (f"{url}/#/jobs/{job}", CHART),
        }
        visits: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for _ in range(chosen.rounds):
            for name, (address, shown) in pages.items():
                visits[name].append(visit(browser, address, shown))
        brushed = [brush(browser, f"{url}/#/jobs/{job}") for _ in range(chosen.rounds)]
    console = Console(width=110)
    console.print(_visits_table(visits, chosen.rounds))
    console.print(_frames_table(brushed, chosen.trials))


def _job(client: Client, trials: int) -> str:
    request = {
        "model": "many",
        "dataset": client.upload(PENGUINS)["id"],
        "target": "body_mass_g",
        "strategy": "random",
        "evaluation": {"method": "holdout"},
        "budget": {"max_trials": trials, "epochs": 3},
        "ensemble": 1,
        "refit": False,
    }
    return str(tune(client, request)["id"])


def visit(browser: Browser, address: str, shown: str) -> dict[str, float]:
    """Open a page with an empty cache; return its bytes, requests and milliseconds."""
    context = context_of(browser)
    context.add_init_script(_OBSERVE)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    received: list[float] = []
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(address)
    page.locator(shown).first.wait_for()
    drawn = page.evaluate("performance.now()")
    interactive = max(drawn, _last_long_task(page))
    figures = {
        "bytes": sum(received),
        "requests": float(len(received)),
        "shown": drawn,
        "interactive": interactive,
    }
    context.close()
    return figures


def _last_long_task(page: Page) -> float:
    """Wait until the thread of a page is quiet; return when its last long task ended."""
    while True:
        now, busy = page.evaluate("[performance.now(), window.busyUntil]")
        if now - busy > QUIET:
            return float(busy)
        page.wait_for_timeout(QUIET / 2)


def brush(browser: Browser, address: str) -> dict[str, list[float]]:
    """Return the milliseconds between frames while a brush is dragged, and while nothing is."""
    context = context_of(browser, viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(address)
    figure = page.locator("section, figure", has_text=PARALLEL).locator(CHART).last
    figure.wait_for()
    page.wait_for_timeout(1500)
    page.get_by_text(PARALLEL).first.scroll_into_view_if_needed()
    figure.evaluate("node => node.scrollIntoView({block: 'center'})")
    box = figure.bounding_box()
    if box is None:
        raise RuntimeError("The parallel coordinates are not shown.")
    left, top = box["x"] + 56, box["y"] + 60  # the first axis
    drags = {
        "nothing": ((left + 200, box["y"] - 30), (left + 200, box["y"] - 10)),
        "brush": ((left, top), (left, box["y"] + box["height"] - 60)),
    }
    found = {name: _frames(page, start, end) for name, (start, end) in drags.items()}
    chosen = page.get_by_text("are chosen by the brush").count()
    if not chosen:
        raise RuntimeError("The brush chose no trials.")
    context.close()
    return found


def _frames(page: Page, start: tuple[float, float], end: tuple[float, float]) -> list[float]:
    page.mouse.move(*start)
    page.evaluate(f"() => {{ {_FRAMES} }}")
    page.mouse.down()
    for step in range(1, STEPS + 1):
        part = step / STEPS
        page.mouse.move(*(a + part * (b - a) for a, b in zip(start, end, strict=True)))
    page.mouse.up()
    page.wait_for_timeout(100)
    found: Any = page.evaluate("() => { window.following = false; return window.frames_; }")
    return [float(each) for each in found[1:]]


def _visits_table(visits: dict[str, list[dict[str, float]]], rounds: int) -> Table:
    table = Table(title=f"First visit, medians of {rounds}")
    for heading in ("page", "kB", "requests", "shown, ms", "interactive, ms", "of Swagger UI"):
        table.add_column(heading, justify="left" if heading == "page" else "right")
    middle = {
        name: {key: median(each[key] for each in found) for key in found[0]}
        for name, found in visits.items()
    }
    baseline = middle["Swagger UI (/docs)"]["interactive"]
    for name, found in middle.items():
        table.add_row(
            name,
            f"{found['bytes'] / 1000:,.0f}",
            f"{found['requests']:.0f}",
            f"{found['shown']:,.0f}",
            f"{found['interactive']:,.0f}",
            f"{found['interactive'] / baseline:.2f}",
        )
    return table


def _frames_table(brushed: list[dict[str, list[float]]], trials: int) -> Table:
    table = Table(title=f"Frames while the pointer drags, {trials:,} lines")
    for heading in ("drag over", "frames", "median, ms", "95 %, ms", "longest, ms"):
        table.add_column(heading, justify="left" if heading == "drag over" else "right")
    for name in brushed[0]:
        frames = [each for found in brushed for each in found[name]]
        share = quantiles(frames, n=20)[-1]
        row = (median(frames), share, max(frames))
        table.add_row(name, str(len(frames)), *(f"{each:.0f}" for each in row))
    return table


if __name__ == "__main__":
    main()

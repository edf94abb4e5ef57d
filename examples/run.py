"""Run requests of `examples/` against a service and print what came of them.

    python examples/run.py [--url URL] examples/1-regression-search/request.json ...

A file named `narrow.json` starts from the job of the `wide.json` before it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from luthier.client import Client


def main() -> None:
    """Run the files in order and print one row for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:8000")
    options.add_argument("--compare", action="store_true", help="print GET /compare of the jobs")
    options.add_argument("files", nargs="+", type=Path)
    arguments = options.parse_args()
    console = Console(width=160)
    table = Table(
        "request", "trials", "search s", "best", "spread", "held-out test", "baseline", "winner"
    )
    jobs: list[str] = []
    with Client(arguments.url, timeout=600) as client:
        for path in arguments.files:
            request = json.loads(path.read_text(encoding="utf-8"))
            if "narrow_from" in request:
                request["narrow_from"]["job"] = jobs[-1]
            job = client.wait(client.tune(request)["id"])
            jobs.append(job["id"])
            console.print(f"{path}: {job['id']} {job['state']} {job['error'] or ''}")
            if job["state"] == "succeeded":
                table.add_row(f"{path.parent.name}/{path.stem}", *outcome(client, job))
    console.print(table)
    if arguments.compare:
        console.print(f"{arguments.url}/compare?jobs={','.join(jobs)}")


def outcome(client: Client, job: dict[str, Any]) -> list[str]:
    """Figures of a finished job, as text."""
    version = client.version(job["model"], job["version"])
    best, progress = job["best_trial"], job["progress"]
    values = best["values"]
    return [
        f"{progress['completed']}+{progress['stopped']}+{progress['failed']}",
        f"{job['seconds']:.1f}",
        f"{best['score']:.4g}",
        f"{best['spread']:.3g}",
        main_metric(version["metrics"]),
        main_metric(version["baseline"]),
        " ".join(
            f"{name}={values[name]}" for name in job["request"]["search_space"] if name in values
        ),
    ]


def searched(job: dict[str, Any]) -> list[str]:
    """The hyperparameters that were not fixed."""
    space = job["request"]["search_space"]
    return [name for name, entry in space.items() if isinstance(entry, dict)]


def main_metric(metrics: dict[str, float] | None) -> str:
    """R² and RMSE of a regression, accuracy of a classification."""
    if metrics is None:
        return "none held out"
    if "r2" in metrics:
        return f"R² {metrics['r2']:.3f}, RMSE {metrics['rmse']:.1f}"
    return f"accuracy {metrics['accuracy']:.3f}"


if __name__ == "__main__":
    main()

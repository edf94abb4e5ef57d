"""Seconds from an empty data folder to the first prediction, by each way in.

`python -m benchmarks.first_prediction` tunes `--trials` networks on the penguins and predicts all
of them: by `curl` against `luthier serve`, which is the baseline; by `luthier tune` and
`luthier predict`, which start a service each; and by the Python client against `luthier serve`. All
send the same request. Each way begins with a folder of its own and no service, and ends when its
service has ended, which takes tenths of a second; `--rounds` repeat them in turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.server import free_port, serving
from luthier.client import Client

PENGUINS = Path(__file__).parents[1] / "examples" / "penguins.csv"
TARGET = "body_mass_g"
LUTHIER = [sys.executable, "-m", "luthier"]


def by_curl(folder: Path, trials: int) -> str:
    """Serve, post the file, wait, post the file again for its predictions."""
    budget = f'budget={{"max_trials": {trials}}}'
    with serving(folder=folder) as (url, _):
        form = ["-F", f"file=@{PENGUINS}", "-F", f"target={TARGET}", "-F", budget]
        run(["curl", "-sSf", f"{url}/tune?wait=600", *form], folder)
        kinds = ["-H", "Content-Type: text/csv", "-H", "Accept: text/csv"]
        rows = ["--data-binary", f"@{PENGUINS}"]
        return run(["curl", "-sSf", f"{url}/predict?model=penguins", *kinds, *rows], folder)


def by_commands(folder: Path, trials: int) -> str:
    """Tune and predict by two commands, neither of which finds a service."""
    run([*LUTHIER, "tune", str(PENGUINS), "-t", TARGET, "--trials", str(trials)], folder)
    return run([*LUTHIER, "predict", str(PENGUINS)], folder)


def by_client(folder: Path, trials: int) -> str:
    """Serve, tune and predict by the Python client with a DataFrame."""
    import pandas as pd

    with serving(folder=folder) as (url, _), Client(url, timeout=600.0) as client:
        job = client.tune(PENGUINS, target=TARGET, trials=trials).wait()
        found = job.model().predict(pd.read_csv(PENGUINS))
        text: str = found.to_csv()
        return text


WAYS: dict[str, Callable[[Path, int], str]] = {
    "curl, luthier serve": by_curl,
    "luthier tune, luthier predict": by_commands,
    "Python client, luthier serve": by_client,
}


def run(command: list[str], folder: Path) -> str:
    """Run a command that must succeed, in a service's environment; return what it printed."""
    done = subprocess.run(
        command, env=environment(folder, free_port()), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return done.stdout


def environment(folder: Path, port: int) -> dict[str, str]:
    """Return this process's environment with the settings of one way, and no others."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LUTHIER_")}
    return kept | {"LUTHIER_DATA": str(folder), "LUTHIER_BIND": f"127.0.0.1:{port}"}


def seconds_of(way: Callable[[Path, int], str], trials: int) -> float:
    """Return how long one way takes, from an empty folder until its service has ended."""
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        text = way(Path(name), trials)
        taken = time.perf_counter() - began
    rows = len(PENGUINS.read_text("utf-8").splitlines())
    if len(text.splitlines()) != rows:
        raise SystemExit(f"{rows} lines were expected, not:\n{text[:500]}")
    return taken


def main() -> None:
    """Measure every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(arguments.rounds):
        for name, way in WAYS.items():
            taken[name].append(seconds_of(way, arguments.trials))
    table = Table("way", "seconds (median)", "all rounds")
    for name, found in taken.items():
        each = " ".join(f"{seconds:.1f}" for seconds in found)
        table.add_row(name, f"{statistics.median(found):.1f}", each)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(taken), encoding="utf-8")


if __name__ == "__main__":
    main()

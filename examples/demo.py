"""`make demo`: a table in, twelve trials, a winner, three predictions."""

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from luthier.client import Client

HERE = Path(__file__).parent
DATA = Path(".luthier/demo")
TARGET = "body_mass_g"
HELD_BACK = (0, 150, 300)  # rows that the service never sees before it predicts them
READY_WITHIN = 300.0  # seconds

REQUEST = {
    "model": "penguins",
    "target": TARGET,
    "search_space": {
        "num_layers": {"type": "int", "min": 1, "max": 3},
        "units": {"type": "int", "min": 32, "max": 128, "step": 32, "per_layer": True},
        "activation": {"type": "choice", "values": ["relu", "selu"]},
        "dropout": {"type": "float", "min": 0.0, "max": 0.3, "step": 0.1},
        "learning_rate": {"type": "float", "min": 1e-3, "max": 3e-2, "sampling": "log"},
    },
    "strategy": "random",
    "objective": {"metric": "val_mae"},
    "budget": {"max_trials": 12, "epochs": 40},
    "seed": 7,
}

console = Console()


def main() -> None:
    """Show the whole path, from a CSV file to predictions."""
    rows = list(csv.DictReader((HERE / "penguins.csv").open(encoding="utf-8")))
    known = [row for number, row in enumerate(rows) if number not in HELD_BACK]
    with service() as url, Client(url) as client:
        dataset = upload(client, known)
        job = client.tune({**REQUEST, "dataset": dataset["id"]})
        show_progress(client, job["id"])
        show_winner(client, job["id"])
        show_predictions(client, [rows[number] for number in HELD_BACK])


@contextmanager
def service() -> Iterator[str]:
    """A service of the demo's own on a free port, stopped at the end."""
    DATA.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {"LUTHIER_BIND": bind, "LUTHIER_DATA": str(DATA)}
    with (DATA / "service.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "luthier", "serve"],
            env=os.environ | settings,
            stdout=log,
            stderr=log,
        )
    try:
        with console.status("Starting the service"):
            wait_until_ready(process, f"http://{bind}")
        console.print(f"The service listens on http://{bind}; it logs to {DATA}/service.log")
        yield f"http://{bind}"
    finally:
        process.terminate()
        process.wait()  # it ends its own processes within seconds
        console.print("The service has stopped.")


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Return once `/readyz` answers 200; raise if the service ends before."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit((DATA / "service.log").read_text(encoding="utf-8"))
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("The service did not get ready.")


def upload(client: Client, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Write the rows to a CSV file and store it as a dataset."""
    path = DATA / "penguins.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    dataset = client.upload(path)
    columns = ", ".join(f"{column['name']} ({column['type']})" for column in dataset["columns"])
    console.print(f"Stored {dataset['rows']} rows as {dataset['id']}:\n  {columns}")
    return dataset


def show_progress(client: Client, job: str) -> None:
    """Follow the job until it has ended."""
    bar = Progress(
        TextColumn("Tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("best MAE {task.fields[best]}"),
        TextColumn("{task.fields[left]}"),
        console=console,
    )
    with bar:
        task = bar.add_task("tuning", total=None, best="–", left="the worker warms up")
        for state in client.watch(job):
            progress, best = state["progress"], state["best_trial"]
            eta = progress["eta_seconds"]
            bar.update(
                task,
                total=progress["total"],
                completed=progress["completed"] + progress["failed"],
                best=f"{best['score']:.1f} g" if best else "–",
                left=f"about {eta:.0f} s left" if eta is not None else "the worker warms up",
            )
    if state["state"] != "succeeded":
        raise SystemExit(f"The job {state['state']}: {state['error']}")


def show_winner(client: Client, job: str) -> None:
    """Print the leaderboard and the winner's layers, values and held-out scores."""
    table = Table("trial", "MAE (g)", "layers", "units", "activation", "dropout", "rate", "s")
    for trial in client.trials(job, sort="score", limit=5):
        values = trial["values"]
        table.add_row(
            str(trial["number"]),
            f"{trial['score']:.1f}",
            str(values["num_layers"]),
            " ".join(map(str, values["units"])),
            values["activation"],
            f"{values['dropout']:.1f}",
            f"{values['learning_rate']:.4f}",
            f"{trial['seconds']:.1f}",
        )
    console.print(table)
    found = client.job(job)
    version = client.version(found["model"], found["version"])
    console.print(version["summary"], highlight=False)
    scores, baseline = version["metrics"], version["baseline"]
    console.print(
        f"On {version['evidence']['test']['rows']} rows that no trial saw:"
        f" R² {scores['r2']:.3f}, MAE {scores['mae']:.0f} g"
        f" (always answering the mean: MAE {baseline['mae']:.0f} g)"
    )


def show_predictions(client: Client, rows: list[dict[str, str]]) -> None:
    """Predict rows that were never uploaded and print the truth beside the answers."""
    instances = [as_instance(row) for row in rows]
    answer = client.predict("penguins", instances)
    table = Table("species", "island", "sex", "predicted (g)", "truth (g)")
    for row, prediction in zip(rows, answer["predictions"], strict=True):
        table.add_row(row["species"], row["island"], row["sex"], f"{prediction:.0f}", row[TARGET])
    console.print(table)


def as_instance(row: dict[str, str]) -> dict[str, Any]:
    """A CSV row as `/predict` takes it: numbers as numbers, missing cells as null."""
    words = {"species", "island", "sex"}
    return {
        name: None if cell == "NA" else cell if name in words else float(cell)
        for name, cell in row.items()
        if name != TARGET
    }


if __name__ == "__main__":
    main()

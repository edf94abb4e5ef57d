"""Predictions over HTTP by Luthier and by others, with the same graph and one process each.

`make bench-serving` runs it. A server that is not installed is named and left out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.serving.contestants import Contestant, contestants
from benchmarks.serving.load import Request, apply_load, ask
from benchmarks.serving.running import Server, start
from benchmarks.serving.tables import Cell, Figures, Key, report
from benchmarks.serving.version import graph_of, train

CONNECTIONS, ROWS = (1, 8, 32), (1, 100, 1000)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the data folder of a service; it is kept")
    parser.add_argument("--peers", default=sys.executable, help="interpreter of the other servers")
    parser.add_argument("--only", nargs="*", help="contestants, by the beginnings of their names")
    parser.add_argument("--connections", type=int, nargs="*", default=CONNECTIONS)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=8, help="of each Flask server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = options.data or folder / "data"
        train(data)
        (folder / "model.onnx").write_bytes(graph_of(data))
        os.environ["MODEL"] = str(folder / "model.onnx")
        os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
        figures = measure(options, contestants(options.peers, data, options.threads), folder)
    print(report(figures, " ".join(sys.argv[1:])))


def measure(options: argparse.Namespace, wanted: list[Contestant], folder: Path) -> Figures:
    """Start every server, then measure them in alternating rounds; the medians count."""
    figures = Figures()
    running: dict[str, tuple[Contestant, Server]] = {}
    with ExitStack() as stack:
        for contestant in wanted:
            if options.only and not contestant.name.startswith(tuple(options.only)):
                continue
            print(f"starting {contestant.name}", file=sys.stderr, flush=True)
            try:
                server = next(
                    (s for c, s in running.values() if c.server and c.server == contestant.server),
                    None,
                ) or stack.enter_context(start(contestant, folder, options.peers))
                ask(server.request(contestant, 1))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                figures.left_out[contestant.name] = str(error).strip().partition("\n")[0]
                continue
            running[contestant.name] = contestant, server
            figures.first_answer[contestant.name] = server.first_answer
        _measure_rounds(options, running, figures)
        for name, (_, server) in running.items():
            figures.memory[name] = server.memory()
    figures.rows_of_the_run = _rows_of_the_run(max(options.rows))
    return figures


def _measure_rounds(
    options: argparse.Namespace, running: dict[str, tuple[Contestant, Server]], figures: Figures
) -> None:
    found: dict[Key, list[Cell]] = defaultdict(list)
    for number in range(options.rounds):
        for rows, connections in product(options.rows, options.connections):
            for name in list(running)[:: -1 if number % 2 else 1]:
                contestant, server = running[name]
                request = server.request(contestant, rows)
                try:
                    cell = _measure(server, request, connections, options.seconds)
                except (OSError, RuntimeError) as error:
                    figures.left_out[f"{name}, {rows} rows"] = str(error)[:200]
                else:
                    found[name, rows, connections].append(cell)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for key, cells in found.items():
        figures.cells[key] = Cell(*(median(values) for values in zip(*cells, strict=True)))


def _measure(server: Server, request: Request, connections: int, seconds: float) -> Cell:
    apply_load(request, connections, min(0.5, seconds))  # warms up
    before = server.cpu_seconds()
    load = apply_load(request, connections, seconds)
    cpu = (server.cpu_seconds() - before) / load.requests
    return Cell(load.requests / load.seconds, load.p50, load.p99, cpu)


def _rows_of_the_run(count: int) -> float:
    """Return the rows that the graph alone predicts in a second, without any server."""
    command = [sys.executable, "-m", "benchmarks.serving.apps.graph", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()

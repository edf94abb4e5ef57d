"""Counts the product files that one `POST /tune` passes through until its first trial trains.

Starts `luthier serve` from a tree, posts a job and counts the files of `api`, `models`, `luthier`
in which any process calls a function between the request and the first epoch of a trial. Importing
a module is not counted.

    python -m benchmarks.code_path [--tree FOLDER] [--list]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

_TRACER = """
import os, sys, threading
_root, _flag, _log = os.environ["TRACE_ROOT"], os.environ["TRACE_FLAG"], os.environ["TRACE_LOG"]
_seen = set()
def _note(frame, event, _):
    name = frame.f_code.co_filename
    if event != "call" or name in _seen or not name.startswith(_root):
        return
    # Functions alone: the bodies of modules and classes are not optimized.
    if not frame.f_code.co_flags & 1 or not os.path.exists(_flag):
        return
    _seen.add(name)
    with open(_log, "a") as file:
        file.write(name + chr(10))
sys.setprofile(_note)
threading.setprofile(_note)
"""
_JOB = {
    "model": "path",
    "dataset": {"records": [{"a": float(n), "b": f"k{n % 3}", "y": n * 0.5} for n in range(200)]},
    "target": "y",
    "search_space": {"num_layers": 2, "units": {"type": "int", "min": 256, "max": 512}},
    "budget": {"max_trials": 2, "epochs": 2000},
    "early_stopping": None,
}
PATIENCE = 180.0  # seconds


def trace(tree: Path) -> list[str]:
    """Return the files on the path, relative to `tree`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(_TRACER)
        flag, log = folder / "flag", folder / "files"
        log.touch()
        variables = os.environ | {
            "PYTHONPATH": f"{folder}:{tree}",
            "TRACE_ROOT": f"{tree}/",
            "TRACE_FLAG": str(flag),
            "TRACE_LOG": str(log),
            "LUTHIER_DATA": str(folder / "data"),
            "LUTHIER_BIND": "127.0.0.1:8765",
            "LUTHIER_TRIAL_SLOTS": "1",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "luthier", "serve"], cwd=folder, env=variables
        ) as server:
            try:
                _tune("http://127.0.0.1:8765", flag)
            finally:
                server.terminate()
        found = set(log.read_text().split())
    parts = tuple(f"{tree}/{part}/" for part in ("api", "models", "luthier"))
    return sorted(str(Path(file).relative_to(tree)) for file in found if file.startswith(parts))


def _tune(url: str, flag: Path) -> None:
    with httpx.Client(base_url=url, timeout=60.0) as http:
        _until(lambda: http.get("/readyz").status_code == 200)
        # A job that makes every process ready first.
        small = _JOB | {"budget": {"max_trials": 1, "epochs": 1}, "seed": 1}
        first = http.post("/tune", json=small).raise_for_status().json()["id"]
        _until(lambda: http.get(f"/tune/{first}").json()["state"] == "succeeded")
        flag.touch()
        job = http.post("/tune", json=_JOB).raise_for_status().json()["id"]
        _until(lambda: http.get(f"/tune/{job}/trials/1").json().get("history"))
        flag.unlink()
        http.post(f"/tune/{job}/cancel")


def _until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if happens():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the service did not get there")


def main() -> None:
    """Print the number of files on the path, and of all product files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path.cwd())
    parser.add_argument("--list", action="store_true", help="print the files, too")
    options = parser.parse_args()
    tree = options.tree.resolve()
    files = trace(tree)
    if options.list:
        print("\n".join(files))
    every = [p for part in ("api", "models", "luthier") for p in (tree / part).rglob("*.py")]
    print(f"{len(files)} of {len(every)} product files")


if __name__ == "__main__":
    main()

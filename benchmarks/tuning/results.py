"""What a measurement is written down as, so that tables can be made from it at any time."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_LIBRARIES = (
    "numpy",
    "numba",
    "tensorflow",
    "keras",
    "keras-tuner",
    "torch",
    "optuna",
    "scikit-learn",
    "lightgbm",
    "catboost",
    "pytabkit",
    "autogluon.tabular",
)


def new_document(options: dict[str, Any]) -> dict[str, Any]:
    """An empty document: the command, the machine, the day."""
    return {
        "command": _command(),
        "options": options,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "machine": describe_machine(),
    }


def describe_machine() -> dict[str, Any]:
    """The processor, its cores, the memory, the libraries, and how busy it is."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def write(document: dict[str, Any], path: Path | None) -> None:
    """Write a document, if there is a place to."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def spread(figures: Iterable[float]) -> dict[str, Any]:
    """The median of figures, beside it all of them."""
    rounds = list(figures)
    return {"median": statistics.median(rounds), "rounds": rounds}


def _command() -> str:
    module = Path(sys.argv[0])
    name = module.parent.name if module.stem == "__main__" else module.stem
    return " ".join(["python -m benchmarks." + name, *sys.argv[1:]])


def _revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None

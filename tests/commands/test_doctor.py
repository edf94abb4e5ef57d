"""`luthier doctor` on machines where something is wrong."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from luthier.cli import main
from luthier.commands.checks import State, run_checks
from models.settings import Settings
from models.store.engine import Database
from tests.conftest import Service
from tests.processes import environment, free_bind


def doctor(**settings: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code and the checks by name."""
    kept = {"LUTHIER_BIND": free_bind(), **_variables(settings)}
    done = CliRunner(env=kept).invoke(main, ["doctor", "--json"])
    body = json.loads(done.stdout)
    assert body["ok"] == (done.exit_code == 0)
    return done.exit_code, {check["name"]: check for check in body["checks"]}


def _variables(settings: dict[str, object]) -> dict[str, str]:
    every = environment(**settings)
    return {name: value for name, value in every.items() if name.startswith("LUTHIER_")}


def test_a_sound_machine_has_nothing_wrong(settings: Settings) -> None:
    code, checks = doctor(data=settings.data)
    assert code == 0, checks
    assert {check["state"] for check in checks.values()} <= {"ok", "warning"}
    assert {"python", "packages", "address", "disk", "database", "memory", "gpu"} <= checks.keys()


def test_a_bad_setting_is_told() -> None:
    code, checks = doctor(trial_slots="many")
    assert code == 1
    assert "LUTHIER_TRIAL_SLOTS='many'" in checks["settings"]["found"]


def test_an_address_that_another_program_has_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        code, checks = doctor(bind=bind, data=tmp_path)
    assert code == 1
    assert checks["address"]["state"] == "wrong"
    assert "LUTHIER_BIND" in checks["address"]["advice"]


def test_an_address_at_which_luthier_answers_is_right(service: Service) -> None:
    _, checks = doctor(bind=service.url.removeprefix("http://"), data=service.data)
    assert (checks["address"]["state"], checks["database"]["state"]) == ("ok", "ok")
    assert checks["storage"]["found"].endswith("can be written")


def test_an_old_schema_is_told_with_what_to_run(settings: Settings, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    code, checks = doctor(data=settings.data)
    assert code == 1
    assert "luthier migrate" in checks["database"]["advice"]


def test_parts_that_do_not_answer_are_told(tmp_path: Path) -> None:
    database = f"postgresql://luthier:secret@{free_bind()}/luthier"
    code, checks = doctor(data=tmp_path, database_url=database)
    assert code == 1
    assert checks["database"]["state"] == "wrong"
    assert "secret" not in json.dumps(checks)


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    _, checks = doctor(data=place)
    assert checks["disk"]["state"] == "wrong"


def test_a_gpu_that_is_required_and_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without nvidia-smi
    _, checks = doctor(data=tmp_path, require_gpu=1)
    assert checks["gpu"]["state"] == "wrong"


def test_the_text_has_marks_and_advice(tmp_path: Path) -> None:
    done = CliRunner(env=_variables({"trial_slots": "many"})).invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "WRONG    settings" in done.stdout
    assert "→ Correct or unset the variable." in done.stdout
    assert done.stdout.endswith("Something is wrong.\n")


def test_every_wrong_check_has_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setenv("LUTHIER_ARTIFACTS", "s3://no-such-bucket.invalid/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{free_bind()}")
    found = [check for check in run_checks() if check.state is State.WRONG]
    assert "storage" in [check.name for check in found]
    assert all(check.advice for check in found)

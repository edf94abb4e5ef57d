import os
from dataclasses import fields
from pathlib import Path

import pytest

from models.errors import SettingError
from models.settings import PREFIX, Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
BAD_VALUES = {
    "bind": [],  # checked where it is used: tests/test_cli.py
    "grpc_bind": [],  # checked where it is used: tests/dialects/test_grpc.py
    "data": [],
    "database_url": [],
    "artifacts": [],
    "api_keys": [],  # checked where they are read: tests/test_key_commands.py
    "allow_anonymous": ["yes", "", "2"],
    "api_processes": ["0", "-1", "two", "1.5", ""],
    "api_threads": ["0", "many"],
    "upload_threads": ["0", "all"],
    "header_timeout": ["0", "nan", "soon"],
    "body_timeout": ["0", "inf"],
    "idle_timeout": ["0", "-1"],
    "database_wait": ["0", "nan", "long"],
    "executor": ["process", "Ray", ""],
    "ray_address": [],  # checked where it is used: tests/executors/test_ray_connection.py
    "ray_cpus": ["0", "nan", "one"],
    "ray_gpus": ["-1", "inf", "half"],
    "ray_idle_seconds": ["0", "nan", "never"],
    "trial_slots": ["-1", "all"],
    "trial_timeout": ["0", "nan", "inf", "1h"],
    "trial_memory": ["1024", "8GB"],
    "trial_growth": ["-1", "1GB"],
    "forecast_seconds": ["-1", "nan", "soon"],
    "require_gpu": ["yes", "2"],
    "trainer": ["gpu", "pack", "NUMPY", ""],
    "gpu_threshold": ["-1", "1e6"],
    "lease_seconds": ["0.5", "-inf", "soon"],
    "poll_seconds": ["0", "nan"],
    "max_body_bytes": ["0", "1e6"],
    "max_json_bytes": ["0", "1MB"],
    "max_inflated_bytes": ["0", "1GB"],
    "max_spool_bytes": ["0", "1GB"],
    "upload_memory": ["1024", "1GB"],
    "max_json_depth": ["1", "deep"],
    "max_rows": ["0", "1e6"],
    "max_columns": ["0", ""],
    "max_cell_length": ["0", "-1"],
    "max_instances": ["0", "all"],
    "max_queued_jobs": ["0", "none"],
    "max_trials_per_job": ["0", "2.5"],
    "idempotency_hours": ["0.5", "soon"],
    "dataset_url_hosts": [],  # any text is a list of hosts: tests/api/test_dataset_urls.py
    "sweep_seconds": ["-1", "never"],
    "keep_jobs": ["-1", "1.5"],
    "keep_jobs_days": ["-1", "nan", "30d"],
    "keep_versions": ["-1", "1.5", "all"],
    "keep_versions_days": ["-1", "inf"],
    "keep_batches_days": ["-1", "month"],
    "keep_events_days": ["-1", ""],
    "keep_weights_days": ["-1", "week"],
    "keep_audit_days": ["-1", "for ever"],
    "invocations_model": [],  # a model may be made later: tests/dialects/test_mlflow.py
    "keep_monitoring_days": ["-1", "for ever"],
    "monitoring_seconds": ["0", "often"],
    "prediction_log_seconds": ["0", "soon"],
    "model_cache": ["0", "none"],
    "file_cache": ["-1", "1GB"],
    "log_level": ["info", "LOUD", ""],
    "log_format": ["JSON", "xml", ""],
    "drain_seconds": ["-1", "nan", "soon"],
    "stop_seconds": ["-1", "nan", "soon"],
    "exit_seconds": ["-1", "inf", "8s"],
    "worker_bind": [],  # checked where it is used: tests/test_worker_endpoint.py
}
GOOD_VALUES = {
    "bind": ("0.0.0.0:80", "0.0.0.0:80"),
    "allow_anonymous": ("True", True),
    "trial_slots": ("3", 3),
    "trial_timeout": ("1.5", 1.5),
    "lease_seconds": ("2", 2.0),
    "log_level": ("DEBUG", "DEBUG"),
    "log_format": ("json", "json"),
    "drain_seconds": ("0.5", 0.5),
}


def variable(name: str) -> str:
    return PREFIX + name.upper()


def test_every_setting_is_tested_here() -> None:
    assert set(BAD_VALUES) == {item.name for item in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD_VALUES.items() for text in texts]
)
def test_a_bad_value_is_named_with_its_key(name: str, text: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_environment({variable(name): text})
    assert str(refusal.value).startswith(f"{variable(name)}={text!r}: ")


@pytest.mark.parametrize("name", GOOD_VALUES)
def test_a_good_value_is_taken(name: str) -> None:
    text, value = GOOD_VALUES[name]
    settings = Settings.from_environment({variable(name): text})
    assert getattr(settings, name) == value
    assert type(getattr(settings, name)) is type(value)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(SettingError, match="LUTHIER_BNID='x': there is no such setting"):
        Settings.from_environment({"LUTHIER_BNID": "x"})


def test_the_client_s_key_is_no_setting() -> None:
    assert Settings.from_environment({"LUTHIER_API_KEY": "x"}) == Settings()


def test_secrets_are_not_shown_with_the_settings() -> None:
    text = repr(Settings(api_keys="ci:read:secret", database_url="postgresql://me:secret@db/l"))
    assert "secret" not in text


def test_variables_of_others_do_not_matter() -> None:
    assert Settings.from_environment({"PATH": "/bin", "luthier_bind": "x"}) == Settings()


def test_database_and_artifacts_lie_in_the_data_folder_unless_they_are_given() -> None:
    settings = Settings(data="/srv/luthier")
    assert settings.resolved_database_url == "sqlite:////srv/luthier/luthier.db"
    assert settings.resolved_artifacts == "/srv/luthier/artifacts"
    elsewhere = Settings(database_url="postgresql://db/luthier", artifacts="s3://bucket/luthier")
    assert elsewhere.resolved_database_url == "postgresql://db/luthier"
    assert elsewhere.resolved_artifacts == "s3://bucket/luthier"


def test_a_relative_data_folder_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(data="here").resolved_artifacts == str(tmp_path / "here" / "artifacts")


def test_a_worker_has_one_slot_a_core_unless_it_is_told() -> None:
    assert Settings().resolved_trial_slots == os.cpu_count()
    assert Settings(trial_slots=3).resolved_trial_slots == 3


def test_the_document_lists_every_setting_with_its_default_and_help() -> None:
    lines = [
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if "`LUTHIER_" in line
    ]
    table = [line for line in lines if line.startswith("| ")]
    assert table == [
        f"| `{variable(item.name)}` | {_shown(item.default)} | {item.metadata['help']} |"
        for item in fields(Settings)
    ]


def _shown(default: object) -> str:
    if default == "":
        return "empty"
    if isinstance(default, bool):
        return f"`{int(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"

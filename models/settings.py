"""The one table of settings, read once from `LUTHIER_*` variables."""

import ipaddress
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from models.errors import SettingError

PREFIX = "LUTHIER_"
# What `luthier.client` reads: the address of its service, and the key that it sends.
CLIENT_VARIABLES = frozenset({"LUTHIER_URL", "LUTHIER_API_KEY"})
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_EXPECTED = {int: "a whole number", float: "a number", bool: "1 or 0", str: "text"}


def _setting(
    default: Any,
    help_text: str,
    minimum: float | None = None,
    choices: Sequence[str] = (),
    secret: bool = False,
) -> Any:
    return field(
        default=default,
        repr=not secret,
        metadata={"help": help_text, "minimum": minimum, "choices": choices},
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default; the variable is `LUTHIER_` and the name in capitals."""

    bind: str = _setting("127.0.0.1:8000", "Address and port that the API listens on.")
    grpc_bind: str = _setting("127.0.0.1:8001", "Address and port that `luthier grpc` listens on.")
    data: str = _setting(".luthier", "Folder of the embedded database and artifacts.")
    database_url: str = _setting(
        "", "sqlite:// or postgresql:// URL; empty means SQLite under `data`.", secret=True
    )
    artifacts: str = _setting("", "Artifact root, a folder or s3:// URL; empty means under `data`.")
    api_keys: str = _setting(
        "",
        "Keys beside those of `luthier keys`: `name:scopes:key`, commas between.",
        secret=True,
    )
    allow_anonymous: bool = _setting(
        False, "Let anyone who reaches the address use the service, as long as there is no key."
    )
    api_processes: int = _setting(1, "Number of gunicorn worker processes.", 1)
    api_threads: int = _setting(8, "Threads in each gunicorn worker process.", 1)
    upload_threads: int = _setting(
        1,
        "Uploads and other large requests that each of these processes reads at once.",
        1,
    )
    header_timeout: float = _setting(
        10.0, "Seconds in which the head of a request must have arrived.", 1
    )
    body_timeout: float = _setting(
        600.0, "Seconds in which the body of a request must have arrived.", 1
    )
    idle_timeout: float = _setting(
        30.0,
        "Seconds without a byte after which a request that arrives, or a client that does not read"
        " its answer, is given up.",
        1,
    )
    database_wait: float = _setting(
        5.0,
        "Seconds that a request waits for a lock or a connection of the database before it is"
        " answered 503.",
        0.1,
    )
    executor: str = _setting(
        "local",
        "Where trials run: `local`, on the worker's machine, or `ray`, on nodes of a Ray cluster.",
        choices=("local", "ray"),
    )
    ray_address: str = _setting(
        "", "Ray's head node, as HOST:6379; empty means RAY_ADDRESS, or a node on this machine."
    )
    ray_cpus: float = _setting(1.0, "CPUs of a Ray node that each trial takes.", 0.01)
    ray_gpus: float = _setting(
        0.0, "GPUs of a Ray node that each trial takes; a fraction shares one.", 0
    )
    ray_idle_seconds: float = _setting(
        120.0, "Seconds without a trial, after which a slot on a Ray node is given back.", 1
    )
    trial_slots: int = _setting(
        0,
        "Trials run at once by one worker; 0 means one per core, or as many as Ray's nodes hold.",
        0,
    )
    trial_timeout: float = _setting(3600.0, "Seconds after which one trial is ended.", 1)
    trial_memory: int = _setting(
        8 * 1024**3, "Bytes of memory after which a trial's process is ended.", 256 * 1024**2
    )
    trial_growth: int = _setting(
        1024**3,
        "Bytes of memory by which a trial's process may grow, until a new one takes its place.",
        0,
    )
    forecast_seconds: float = _setting(
        45.0, "Seconds that the forecast of a dry run may take; 0 leaves it out.", 0
    )
    require_gpu: bool = _setting(
        False, "Let a worker end with an error where its trials see no GPU."
    )
    trainer: str = _setting(
        "auto",
        "What trains perceptrons: `numpy`, `keras`, or `auto`, which takes `keras` for large steps"
        " where there is a GPU and `numpy` otherwise.",
        choices=("auto", "numpy", "keras"),
    )
    # Derived, not measured on a GPU. One core does 20 to 40 billion multiply-adds a second in NumPy
    # (measured), so such a step takes it 2.5 to 5 ms. A Keras step on a GPU takes 1 to 2 ms to
    # launch, whatever its size, and a network about 1 s to build and trace: that pays only where
    # every step saves milliseconds. `python -m benchmarks.threshold` measures both.
    gpu_threshold: int = _setting(
        100_000_000,
        "Multiply-adds of a training step from which Keras trains a perceptron on the GPU, where"
        " there is one; NumPy trains smaller ones on the CPU.",
        0,
    )
    lease_seconds: float = _setting(30.0, "Seconds without a heartbeat until a job is lost.", 1)
    poll_seconds: float = _setting(
        0.25,
        "Seconds between a worker's looks at its trials and the queue. An idle one notices a write"
        " to SQLite at once; PostgreSQL tells every worker of jobs and requests at once.",
        0.01,
    )
    # The next six, and the memory and the disk of the API's pod, belong together: decision 0035.
    max_body_bytes: int = _setting(100 * 1024**2, "Largest request body in bytes.", 1024)
    max_json_bytes: int = _setting(
        16 * 1024**2,
        "Largest body of JSON, and of a table to predict, in bytes, unpacked.",
        1024,
    )
    max_inflated_bytes: int = _setting(
        512 * 1024**2,
        "Most bytes that a compressed body, an archive or a table may unpack to.",
        1024,
    )
    max_spool_bytes: int = _setting(
        512 * 1024**2,
        "Bytes of request bodies that may lie on disk while they arrive, in each process.",
        1024,
    )
    upload_memory: int = _setting(
        1536 * 1024**2,
        "Bytes of memory that the process which reads an uploaded file may take.",
        256 * 1024**2,
    )
    max_json_depth: int = _setting(64, "Deepest nesting of a JSON body.", 8)
    max_rows: int = _setting(5_000_000, "Most rows of a dataset.", 1)
    max_columns: int = _setting(10_000, "Most columns of a dataset.", 1)
    max_cell_length: int = _setting(100_000, "Most characters of one cell.", 1)
    max_instances: int = _setting(10_000, "Most rows of one prediction request.", 1)
    max_queued_jobs: int = _setting(1000, "Most jobs, and most batches, that wait for a worker.", 1)
    max_trials_per_job: int = _setting(10_000, "Most trials of one job.", 1)
    idempotency_hours: float = _setting(
        24.0, "Hours in which a request that is sent again with its `Idempotency-Key` is known.", 1
    )
    dataset_url_hosts: str = _setting(
        "", "Hosts that datasets are fetched from, `*.` for all below one; empty means none."
    )
    sweep_seconds: float = _setting(
        60.0, "Seconds between two sweeps, which one of the workers makes; 0 means none.", 0
    )
    keep_jobs: int = _setting(0, "Newest ended jobs that a sweep keeps; 0 means all.", 0)
    keep_jobs_days: float = _setting(
        0.0, "Days after its end until a sweep deletes a job; 0 means never.", 0
    )
    keep_versions: int = _setting(
        0, "Newest versions without an alias that a sweep keeps of each model; 0 means all.", 0
    )
    keep_versions_days: float = _setting(
        0.0, "Days until a sweep deletes a version without an alias; 0 means never.", 0
    )
    keep_batches_days: float = _setting(
        0.0, "Days after its end until a sweep deletes a batch with its result; 0 means never.", 0
    )
    keep_events_days: float = _setting(
        0.0, "Days after a job's end until its events of trials are deleted; 0 means never.", 0
    )
    keep_weights_days: float = _setting(
        0.0, "Days after a job's end until its best trials' weights are deleted; 0 means never.", 0
    )
    keep_audit_days: float = _setting(
        0.0, "Days until entries of the audit log are deleted; 0 means never.", 0
    )
    invocations_model: str = _setting(
        "", "Model that answers MLflow's `/invocations`; empty means the only one."
    )
    keep_monitoring_days: float = _setting(
        30.0, "Days until figures of predictions and feedback are deleted; 0 means never.", 0
    )
    monitoring_seconds: float = _setting(
        2.0, "Seconds between two writes of what an API process has counted of predictions.", 0.05
    )
    prediction_log_seconds: float = _setting(
        30.0, "Seconds until logged predictions are written to the artifact root.", 0.05
    )
    model_cache: int = _setting(16, "Versions kept loaded for predictions in each process.", 1)
    file_cache: int = _setting(
        1024**3, "Bytes of model files kept under `data` when artifacts are not in a folder.", 0
    )
    log_level: str = _setting(
        "INFO", "Lowest level that is logged.", choices=("DEBUG", "INFO", "WARNING", "ERROR")
    )
    log_format: str = _setting(
        "text", "How log lines look: `text` or `json`.", choices=("text", "json")
    )
    drain_seconds: float = _setting(
        0.0, "Seconds that the API answers on after SIGTERM, as not ready, before it stops.", 0
    )
    stop_seconds: float = _setting(
        30.0,
        "Seconds that a trial has to stop and be scored at the end of its search; where its epochs"
        " take long, twice the time of one.",
        0,
    )
    exit_seconds: float = _setting(
        8.0,
        "Seconds that a worker may take on SIGTERM to stop and score trials that their job has no"
        " time to train anew.",
        0,
    )
    worker_bind: str = _setting(
        "", "Address and port of a worker's own `/healthz` and `/metrics`; empty means none."
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read every `LUTHIER_*` variable.

        Raises SettingError for a variable that is not in the table or a value that does not fit.
        """
        known = {PREFIX + item.name.upper(): item for item in fields(cls)}
        values: dict[str, Any] = {}
        for key, text in environ.items():
            if not key.startswith(PREFIX) or key in CLIENT_VARIABLES:
                continue
            if key not in known:
                raise SettingError(f"{key}={text!r}: there is no such setting.")
            item = known[key]
            values[item.name] = _parse(key, text, item.type)
            _check(key, text, values[item.name], item.metadata)
        return cls(**values)

    @property
    def resolved_database_url(self) -> str:
        """The database to open: the one given, or SQLite under `data`."""
        if self.database_url:
            return self.database_url
        # A path may hold characters that mean something else in a URL.
        path = str(Path(self.data).absolute() / "luthier.db")
        return URL.create("sqlite", database=path).render_as_string()

    @property
    def resolved_artifacts(self) -> str:
        """The artifact root to use: the one given, or a folder under `data`."""
        return self.artifacts or str(Path(self.data).absolute() / "artifacts")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `bind`; SettingError if it is not both."""
        return _host_and_port("LUTHIER_BIND", self.bind)

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Host and port of `grpc_bind`; SettingError if it is not both."""
        return _host_and_port("LUTHIER_GRPC_BIND", self.grpc_bind)

    @property
    def worker_address(self) -> tuple[str, int]:
        """Host and port of `worker_bind`; SettingError if it is not both."""
        return _host_and_port("LUTHIER_WORKER_BIND", self.worker_bind)

    @property
    def binds_loopback(self) -> bool:
        """Whether only this machine reaches the API."""
        return is_loopback(self.address[0])

    @property
    def resolved_trial_slots(self) -> int:
        """Trials at once: the number given, or one per core."""
        return self.trial_slots or os.cpu_count() or 1

    @property
    def trial_threads(self) -> int:
        """CPU threads of a trial: its share of this machine, or what it takes of a Ray node."""
        if self.executor == "ray":
            return max(1, int(self.ray_cpus))
        return max(1, (os.cpu_count() or 1) // self.resolved_trial_slots)


@lru_cache(maxsize=256)
@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host name or an address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=8)
def _host_and_port(variable: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"{variable}={text!r}: expected address and port, as in 127.0.0.1:8000.")
    return host.strip("[]"), int(port)


def _parse(key: str, text: str, kind: Any) -> Any:
    try:
        return _BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise SettingError(f"{key}={text!r}: expected {_EXPECTED[kind]}.") from None


def _check(key: str, text: str, value: Any, limits: Mapping[str, Any]) -> None:
    minimum, choices = limits["minimum"], limits["choices"]
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{key}={text!r}: must be finite.")
    if minimum is not None and value < minimum:
        raise SettingError(f"{key}={text!r}: must be at least {minimum:g}.")
    if choices and value not in choices:
        raise SettingError(f"{key}={text!r}: must be one of {', '.join(choices)}.")

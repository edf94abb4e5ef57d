"""A worker's own probes and metrics, over HTTP."""

import socket
import time

import httpx
import pytest

from luthier.worker_endpoint import serve_health
from models.errors import SettingError
from models.jobs.worker.context import WorkerHealth
from models.settings import Settings
from tests.processes import fetch, free_bind
from tests.prometheus import value


def get(bind: str, path: str) -> httpx.Response:
    return fetch(f"http://{bind}{path}")


def test_a_worker_answers_for_itself() -> None:
    bind, health = free_bind(), WorkerHealth(slots=3)
    with serve_health(Settings(worker_bind=bind), health):
        health.loop_turned(busy=2, jobs=1)
        assert get(bind, "/healthz").json() == {"status": "ok"}
        text = get(bind, "/metrics").text
        for name, expected in (("slots", 3), ("busy_slots", 2), ("jobs", 1)):
            assert value(text, f"luthier_worker_{name}") == expected
        assert value(text, "luthier_worker_memory_bytes", process="worker") > 1e6
        assert "luthier_worker_gpus{" not in text, "not known yet"
        health.gpus = {"NVIDIA H100": 2}
        assert value(get(bind, "/metrics").text, "luthier_worker_gpus", device="NVIDIA H100") == 2
        health.gpus = {}
        assert 'luthier_worker_gpus{device="none"} 0.0' in get(bind, "/metrics").text
        assert get(bind, "/else").status_code == 404
    with pytest.raises(httpx.ConnectError):
        get(bind, "/healthz")


def test_a_worker_whose_threads_do_not_come_round_is_not_alive() -> None:
    bind, health = free_bind(), WorkerHealth(slots=1, stuck_after=0.05)
    with serve_health(Settings(worker_bind=bind), health):
        time.sleep(0.1)
        answer = get(bind, "/healthz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "stuck", "detail": "Stuck for 0.05 s: loop, heartbeat."}


def test_a_database_that_does_not_answer_is_no_reason_to_start_anew() -> None:
    health = WorkerHealth(slots=1)
    health.heartbeat_turned(renewed=True)
    renewed = health.renewal_age
    time.sleep(0.01)
    health.heartbeat_turned(renewed=False)
    assert health.renewal_age > renewed
    assert health.fault() is None


def test_without_an_address_nothing_is_listened_on() -> None:
    with serve_health(Settings(), WorkerHealth(slots=1)):
        pass


@pytest.mark.parametrize("bind", ["9000", "127.0.0.1:many"])
def test_a_bad_address_is_refused(bind: str) -> None:
    with (
        pytest.raises(SettingError, match=r"LUTHIER_WORKER_BIND=.*expected address and port"),
        serve_health(Settings(worker_bind=bind), WorkerHealth(slots=1)),
    ):
        pass


def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(SettingError, match=f"LUTHIER_WORKER_BIND='{bind}': Address already"),
            serve_health(Settings(worker_bind=bind), WorkerHealth(slots=1)),
        ):
            pass

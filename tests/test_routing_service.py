"""Aliases that move while real API processes answer: how they are followed, and swap under fire."""

import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from luthier.client import Client, RequestRefused
from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from tests.processes import answers, free_bind, running
from tests.tiny_versions import publish_version
from tests.waiting import PATIENCE, wait_until

VERSIONS = 4
REQUESTS = int(os.environ.get("SWAP_REQUESTS", "2000"))
CLIENTS, MOVES = 16, 20
ROUTES: list[dict[str, Any]] = [
    {"version": 1, "shadow": None},
    {"weights": {"1": 0.9, "2": 0.1}, "shadow": 3},
    {"weights": {"1": 0.5, "2": 0.5}},
    {"version": 2},
    {"weights": {"2": 0.2, "3": 0.3, "4": 0.5}, "shadow": 1},
    {"version": 4},
    {"weights": {"3": 0.99, "4": 0.01}},
]


class Caller:
    """A kept connection to an API."""

    def __init__(self, bind: str) -> None:
        self._connection = http.client.HTTPConnection(bind, timeout=PATIENCE)

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; answer its status and document."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, path, content, headers)
        response = self._connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def predict(self, x: float = 1.0, **wanted: Any) -> tuple[int, Any]:
        return self.call("POST", "/predict", {"model": "m", "instances": [[x]], **wanted})

    def is_answered_by(self, version: int) -> bool:
        return bool(self.predict()[1]["version"] == version)

    def move(self, **body: Any) -> None:
        status, answer = self.call("PUT", "/models/m/aliases/champion", body)
        assert status == 200, answer


@pytest.fixture
def published(database: Database, settings: Settings) -> Settings:
    """Settings of a service with some versions of `m`."""
    for _ in range(VERSIONS):
        publish_version(database, Artifacts(settings.resolved_artifacts))
    return settings


@contextmanager
def api(settings: Settings, log: Path, processes: int) -> Iterator[str]:
    """Run `luthier api`; yield its address."""
    bind = free_bind()
    with running(
        "api",
        log,
        bind=bind,
        data=settings.data,
        api_processes=processes,
        log_level="WARNING",
        max_instances=10,
    ) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
        yield bind


def test_two_processes_follow_each_other(published: Settings, tmp_path: Path) -> None:
    with ExitStack() as stack:
        binds = [
            stack.enter_context(api(published, tmp_path / f"{name}.log", 1))
            for name in ("here", "there")
        ]
        here, there = (stack.enter_context(closing(Caller(bind))) for bind in binds)
        for number in range(6):
            version = 1 + number % VERSIONS
            here.move(version=version)
            status, body = here.predict()
            assert (status, body["version"]) == (200, version), "at once where it is moved"
            wait_until(partial(there.is_answered_by, version))
        here.move(weights={"1": 0.5, "3": 0.5})
        wait_until(lambda: {there.predict()[1]["version"] for _ in range(20)} == {1, 3})
        for key in map(str, range(10)):
            chosen = [caller.predict(key=key)[1]["version"] for caller in (here, there)]
            assert chosen[0] == chosen[1]
        with Client(f"http://{binds[0]}") as client:
            rollout = client.set_alias("m", "champion", shadow=2)["rollouts"]["champion"]
            assert rollout == {"version": 1, "weights": {"1": 0.5, "3": 0.5}, "shadow": 2}
            with pytest.raises(RequestRefused, match="412"):
                client.promote("m", 3, expected=1)
            client.set_alias("m", "champion", "1:0.5/3:0.5;shadow=2", version=3, shadow=None)
            assert client.promote("m", 1, expected=3)["rollouts"] == {}
            assert client.predict("m", [[1.0]], key="any")["version"] == 1
        assert there.predict(version=4)[0] == 200
        assert here.call("DELETE", "/models/m/versions/4")[0] == 204
        assert here.predict(version=4)[0] == 404
        wait_until(lambda: there.predict(version=4)[0] == 404)
        assert here.call("DELETE", "/models/m")[0] == 204
        wait_until(lambda: there.predict()[0] == 404)


def test_no_request_fails_and_none_is_mixed_up_while_aliases_move(
    published: Settings, tmp_path: Path, database: Database
) -> None:
    answered, failures = Counter[int](), list[Any]()
    lock, left = threading.Lock(), iter(range(REQUESTS))

    def fire(bind: str) -> None:
        with closing(Caller(bind)) as caller:
            while (number := take()) is not None:
                wanted = {"key": f"key-{number % 50}"} if number % 2 else {}
                status, body = caller.predict(float(number), **wanted)
                right = status == 200 and body["predictions"] == [2.0 * number + body["version"]]
                with lock:
                    answered[body["version"] if right else 0] += 1
                    failures.extend([] if right else [body])

    def take() -> int | None:
        with lock:
            return next(left, None)

    def has_answered(requests: int) -> bool:
        return answered.total() >= requests

    log = tmp_path / "api.log"
    with (
        api(published, log, 2) as bind,
        ThreadPoolExecutor(CLIENTS) as threads,
        closing(Caller(bind)) as mover,
    ):
        clients = [threads.submit(fire, bind) for _ in range(CLIENTS)]
        for number in range(MOVES):
            wait_until(partial(has_answered, REQUESTS * number // MOVES), every=0.005)
            mover.move(**ROUTES[number % len(ROUTES)])
        for client in clients:
            client.result()
    assert not failures, (failures[:3], log.read_text()[-2000:])
    assert answered.total() == REQUESTS
    assert set(answered) == {1, 2, 3, 4}
    assert len(ModelCatalog(database).moves("m", "champion", 100)) == VERSIONS + MOVES

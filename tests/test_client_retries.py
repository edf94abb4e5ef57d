"""The Python client sends a request again when it loses the connection before the answer."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from luthier.client import Client
from tests.processes import answers, fetch, free_bind, running
from tests.waiting import PATIENCE, wait_until

TUNE = {"model": "m", "dataset": "builtin:iris", "target": "target"}


class LossyProxy:
    """Forwards connections to a service; the first answers never reach the client."""

    def __init__(self, service: str, losses: int) -> None:
        host, _, port = service.rpartition(":")
        self._service = (host, int(port))
        self._losses = losses
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._service) as service:
            sending = threading.Thread(target=_pump, args=(client, service), daemon=True)
            sending.start()
            if self._losses:
                self._losses -= 1
                service.recv(1)  # the service has answered
                client.shutdown(socket.SHUT_RDWR)
            else:
                _pump(service, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        return


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[str]:
    """The address of a `luthier api`."""
    data = tmp_path_factory.mktemp("api")
    shutil.copy(migrated, data / "luthier.db")
    bind, log = free_bind(), data / "log"
    with running("api", log, bind=bind, data=data) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://{bind}/readyz"))
        assert process.poll() is None, log.read_text()
        yield bind


def jobs(bind: str) -> set[str]:
    return {str(job["id"]) for job in fetch(f"http://{bind}/tune").json()["items"]}


@pytest.mark.parametrize("is_form", [False, True], ids=["json", "file"])
def test_a_job_whose_answers_were_lost_is_started_once(
    service: str, tmp_path: Path, is_form: bool
) -> None:
    before = jobs(service)
    file = tmp_path / "rows.csv"
    file.write_text("a,target\n" + "".join(f"{n},{3 * n}\n" for n in range(40)))
    with (
        closing(LossyProxy(service, losses=2)) as proxy,
        Client(proxy.url, timeout=PATIENCE) as client,
    ):
        made = client.tune({"target": "target"}, file=file) if is_form else client.tune(TUNE)
    assert jobs(service) - before == {made["id"]}


def test_a_connection_that_breaks_again_and_again_is_an_error(service: str) -> None:
    before = jobs(service)
    with (
        closing(LossyProxy(service, losses=3)) as proxy,
        Client(proxy.url, timeout=PATIENCE) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.tune(TUNE)
    assert len(jobs(service) - before) == 1

"""One example of each operation that changes something: what it needs, and the request."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.data.formats.reading import read_rows
from models.jobs.model import JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue
from models.registry.catalog.catalog import ModelCatalog
from models.store.engine import Database
from tests.foreign_graphs import linear
from tests.jobs.steps import propose, scored
from tests.tiny_versions import publish_version, write_version

TUNE: dict[str, Any] = {
    "model": "m",
    "dataset": "builtin:iris",
    "target": "target",
    "strategy": "random",
    "budget": {"max_trials": 3, "epochs": 2},
}
ROWS = {"records": [{"a": 1, "b": 2.5}, {"a": 2, "b": 3.5}]}
BATCH_ROWS = {"records": [{"x": 1.0}, {"x": 2.5}]}
BATCH = {"dataset": read_rows(BATCH_ROWS).dataset.digest()}
LEASE = 3600.0  # seconds


@dataclass(frozen=True)
class World:
    """An API over a database, and what can be set up there without leaving an entry."""

    client: FlaskClient
    database: Database
    headers: dict[str, str]

    def send(self, method: str, path: str, json: Any = None, **headers: str) -> TestResponse:
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        if isinstance(json, bytes):  # a file of a form
            form = {"file": (io.BytesIO(json), "file")}
            return self.client.open(path, method=method, data=form, headers=self.headers | more)
        return self.client.open(path, method=method, json=json, headers=self.headers | more)

    def job(self, *commands: str) -> str:
        """Queue a job and give these commands."""
        job: str = self.send("POST", "/tune", TUNE).get_json()["id"]
        for command in commands:
            assert self.send("POST", f"/tune/{job}/{command}").status_code == 202
        return job

    def held(self) -> str:
        """Queue a job that a worker claims."""
        job = self.job()
        claimed = JobQueue(self.database, "a-worker", LEASE).claim()
        assert claimed is not None
        assert claimed.id == job
        return job

    def failed(self) -> str:
        """Queue a job that fails after one of its trials was scored."""
        job = self.held()
        held = HeldJob(self.database, job, "a-worker")
        (number,) = propose(held, 1)
        held.start(number)
        held.complete(number, scored(1.0), {}, 1.0)
        held.finish(JobState.FAILED, error="why")
        return job

    def predictable(self) -> str:
        """Publish a model, and store the dataset that BATCH names."""
        artifacts = self.client.application.extensions["luthier"].artifacts
        publish_version(self.database, artifacts)
        assert self.send("POST", "/datasets", BATCH_ROWS).get_json()["id"] == BATCH["dataset"]
        return "m"

    def batch(self) -> str:
        return str(self.send("POST", f"/models/{self.predictable()}/batch", BATCH).get_json()["id"])

    def dataset(self) -> str:
        return str(self.send("POST", "/datasets", ROWS).get_json()["id"])

    def model(self, versions: int = 3) -> str:
        """Publish some versions of a model, as workers do."""
        catalog = ModelCatalog(self.database)
        for _ in range(versions):
            version = catalog.reserve("m", "regression", "job_1", 1)
            with self.database.write() as connection:
                details = {"metrics": None, "baseline": None}
                catalog.publish(connection, "m", version, 1, {}, details)
        return "m"

    def served(self) -> str:
        """Publish a version of a model that answers."""
        services = self.client.application.extensions["luthier"]
        catalog = ModelCatalog(self.database)
        version = catalog.reserve("m", "regression", "job_1", 1)
        files = write_version(services.artifacts, "m", version)
        with self.database.write() as connection:
            details = {"metrics": None, "baseline": None}
            catalog.publish(connection, "m", version, 1, files, details)
        return "m"


@dataclass(frozen=True)
class Change:
    """A request whose `{}` is what `prepare` returns."""

    request: str
    prepare: Callable[[World], str] = lambda _: ""
    body: Any = None

    def ready(self, world: World) -> tuple[str, Callable[..., TestResponse]]:
        """Prepare the world; return the id of the thing, if there is one, and the request."""
        thing = self.prepare(world)
        method, path = self.request.format(thing).split()
        return thing, lambda **headers: world.send(method, path, self.body, **headers)


CHANGES = {
    "datasets.create": Change("POST /datasets", body=ROWS),
    "datasets.remove": Change("DELETE /datasets/{}", World.dataset),
    "tune.start": Change("POST /tune", body=TUNE),
    "tune.change_budget": Change("PATCH /tune/{}", World.job, {"budget": {"max_trials": 4}}),
    "tune.enqueue": Change("POST /tune/{}/trials", World.job, {"values": {"units": 8}}),
    "tune.discard": Change("DELETE /tune/{}/trials/1", World.failed),
    "tune.cancel": Change("POST /tune/{}/cancel", World.job),
    "tune.pause": Change("POST /tune/{}/pause", World.job),
    "tune.resume": Change("POST /tune/{}/resume", lambda world: world.job("pause")),
    "tune.requeue": Change("POST /tune/{}/requeue", World.held),
    "tune.finish": Change("POST /tune/{}/finish", World.failed),
    "tune.remove": Change("DELETE /tune/{}", lambda world: world.job("cancel")),
    "tune.remove_many": Change("DELETE /tune?state=cancelled", lambda world: world.job("cancel")),
    "datasets.remove_many": Change("DELETE /datasets?unused=true", World.dataset),
    "batches.start": Change("POST /models/{}/batch", World.predictable, BATCH),
    "batches.remove": Change("DELETE /batches/{}", World.batch),
    "models.remove": Change("DELETE /models/{}", World.model),
    "models.remove_version": Change("DELETE /models/{}/versions/2", World.model),
    "models.remove_alias": Change("DELETE /models/{}/aliases/champion", World.model),
    "models.point": Change("PUT /models/{}/aliases/stable", World.model, {"version": 2}),
    "models.import_version": Change("POST /models/{}/versions", World.model, linear()),
    "models.change": Change("PATCH /models/{}", World.model, {"auto_promote": True}),
    "monitoring.give_feedback": Change(
        "POST /models/{}/feedback", World.served, {"instances": [[1.0]], "truth": [2.5]}
    ),
    "models.rollback": Change("POST /models/{}/rollback", World.model),
}

"""What several processes do to one database at the same moment."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from models.data.columns import ColumnType
from models.data.library.catalog import DatasetCatalog
from models.data.library.library import DatasetLibrary
from models.data.library.profile import ColumnProfile
from models.errors import Conflict, NotFound, SettingError
from models.jobs.commands import JobCommands
from models.jobs.model import JobState
from models.jobs.spec import JobSpec
from models.jobs.store.queue import JobQueue
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.promotion import ChampionMoved, Comparison, PromotionRule
from models.registry.catalog.routes import RouteChange
from models.registry.documents import Document
from models.retention.deletion import Deletion
from models.retention.remover import Remover
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import alias_history, jobs, now, trials, versions
from tests.files import from_records
from tests.jobs.steps import LEASE
from tests.waiting import PATIENCE

pytestmark = pytest.mark.both_databases
AT_ONCE = 6


@pytest.fixture
def databases(settings: Settings) -> Iterator[list[Database]]:
    """As many pools as processes would have."""
    opened = [Database(settings.resolved_database_url) for _ in range(AT_ONCE)]
    yield opened
    for database in opened:
        database.close()


def at_once(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Begin all actions at the same moment; return their results, or the Conflict each raised."""
    together = threading.Barrier(len(actions))

    def act(action: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return action()
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(act, actions))


def queue_job(database: Database, job: str = "job_1", **values: Any) -> None:
    row = {
        "id": job,
        "model": "m",
        "state": JobState.QUEUED,
        "spec": {},
        "planned_trials": 1,
        "created": now(),
    }
    with database.write() as connection:
        connection.execute(insert(jobs).values(row | values))


def publish(database: Database, version: int) -> None:
    with database.write() as connection:
        ModelCatalog(database).publish(connection, "m", version, 1, {}, {"n": version})


def test_jobs_that_end_together_get_versions_of_their_own(databases: list[Database]) -> None:
    reserved = at_once(
        [
            partial(ModelCatalog(database).reserve, "m", "binary", f"job_{number}", 1)
            for number, database in enumerate(databases)
        ]
    )
    assert sorted(reserved) == list(range(1, AT_ONCE + 1))


def test_a_job_that_reserves_again_keeps_its_number(databases: list[Database]) -> None:
    catalog = ModelCatalog(databases[0])
    assert [catalog.reserve("m", "binary", "job_1", 1) for _ in range(2)] == [1, 1]
    assert catalog.reserve("m", "binary", "job_2", 1) == 2


def test_the_first_versions_published_together_leave_one_champion(
    databases: list[Database],
) -> None:
    numbers = [
        ModelCatalog(database).reserve("m", "binary", f"job_{number}", 1)
        for number, database in enumerate(databases)
    ]
    pairs = zip(databases, numbers, strict=True)
    at_once([partial(publish, database, number) for database, number in pairs])
    model = ModelCatalog(databases[0]).model("m")
    with databases[0].read() as connection:
        history = connection.execute(select(alias_history).order_by(alias_history.c.id)).all()
    assert sorted(row.version for row in history) == numbers
    assert model.aliases == {"champion": history[-1].version}


def test_of_versions_compared_with_the_same_champion_one_is_published(
    databases: list[Database],
) -> None:
    """The others are told, and are compared with that one."""
    numbers = [
        ModelCatalog(database).reserve("m", "binary", f"job_{number}", 1)
        for number, database in enumerate(databases)
    ]

    def compared(database: Database, version: int) -> Document:
        rule, nothing = PromotionRule(), Comparison(None)
        with database.write() as connection:
            catalog = ModelCatalog(database)
            details = {"metrics": None, "baseline": None}
            return catalog.publish(connection, "m", version, 1, {}, details, rule, nothing)

    pairs = zip(databases, numbers, strict=True)
    published = at_once([partial(compared, database, number) for database, number in pairs])
    (verdict,) = [each for each in published if not isinstance(each, ChampionMoved)]
    assert verdict["reason"] == "It is the first version of the model."
    model = ModelCatalog(databases[0]).model("m")
    (first,) = ModelCatalog(databases[0]).versions("m")
    assert model.aliases == {"champion": first.version}
    assert first.promotion == verdict


def test_aliases_set_together_leave_one_of_them(databases: list[Database]) -> None:
    catalogs = [ModelCatalog(database) for database in databases]
    for number in (1, 2):
        catalogs[0].reserve("m", "binary", f"job_{number}", 1)
        publish(databases[0], number)
    at_once(
        [
            partial(catalog.set_alias, "m", "new", RouteChange.to(1 + number % 2))
            for number, catalog in enumerate(catalogs)
        ]
    )
    with databases[0].read() as connection:
        last = connection.execute(
            select(alias_history.c.version)
            .where(alias_history.c.alias == "new")
            .order_by(alias_history.c.id.desc())
        ).scalars()
        assert catalogs[0].resolve("m", alias="new") == next(last)


def test_rollbacks_at_once_are_steps_one_after_the_other(databases: list[Database]) -> None:
    catalogs = [ModelCatalog(database) for database in databases]
    for number in (1, 2, 3):
        catalogs[0].reserve("m", "binary", f"job_{number}", 1)
        publish(databases[0], number)
    answers = at_once([partial(catalog.rollback, "m") for catalog in catalogs])
    steps = [answer for answer in answers if not isinstance(answer, Conflict)]
    assert sorted(route.version for route in steps) == [1, 2]
    assert catalogs[0].resolve("m") == 1


def test_the_same_rows_stored_together_are_one_dataset(databases: list[Database]) -> None:
    columns = [ColumnProfile("a", ColumnType.NUMBER, 0, 1)]
    records = at_once(
        [
            partial(DatasetCatalog(database).add, "ds_1", 3, columns, name, name)
            for name, database in zip("aabbcc", databases, strict=True)
        ]
    )
    assert {record.id for record in records} == {"ds_1"}
    assert len(DatasetCatalog(databases[0]).page(10)) == 1


def test_a_dataset_deleted_while_it_is_stored_again_has_its_rows_or_is_gone(
    databases: list[Database], settings: Settings
) -> None:
    artifacts = Artifacts(settings.resolved_artifacts)
    rows = from_records([{"a": 1.0}, {"a": 2.0}])
    libraries = [DatasetLibrary(DatasetCatalog(database), artifacts) for database in databases[:3]]

    commands = JobCommands(databases[0], artifacts)
    deletion = Deletion(databases[0], commands, Remover(databases[0], artifacts))

    def remove() -> None:
        for _ in range(15):
            with suppress(NotFound):
                deletion.dataset(rows.digest())

    def store(library: DatasetLibrary) -> None:
        for _ in range(10):
            library.add(rows, None)

    at_once([remove, *(partial(store, library) for library in libraries[1:])])
    libraries[1].add(rows, None)
    assert libraries[0].open(rows.digest()).rows == 2


def test_a_builtin_dataset_with_other_rows_is_the_one_that_came_first(
    databases: list[Database],
) -> None:
    catalog = DatasetCatalog(databases[0])
    catalog.add("ds_1", 3, [], "iris", "iris")
    assert catalog.add("ds_2", 4, [], "iris", "iris").id == "ds_1"


@pytest.mark.parametrize("ask", ["pause", "cancel", "delete"])
def test_a_request_waits_for_what_its_worker_is_writing(
    databases: list[Database], settings: Settings, make_spec: Callable[..., JobSpec], ask: str
) -> None:
    commands = JobCommands(databases[0], Artifacts(settings.resolved_artifacts))
    job = commands.create(make_spec(), 3).id
    JobQueue(databases[1], "worker", LEASE).claim()
    asked: list[Any] = []

    def act() -> None:
        try:
            asked.append(getattr(commands, ask)(job))
        except Conflict as conflict:
            asked.append(conflict)

    with databases[1].write() as connection:
        connection.execute(select(jobs).where(jobs.c.id == job).with_for_update())
        thread = threading.Thread(target=act)
        thread.start()
        thread.join(0.3)
        assert not asked
        connection.execute(jobs.update().values(state=JobState.SUCCEEDED, owner=None))
    thread.join(PATIENCE)
    if ask == "delete":
        assert asked == [None]
    else:
        assert isinstance(asked[0], Conflict)
        with databases[0].read() as connection:
            assert connection.execute(select(jobs.c.state)).scalar_one() == JobState.SUCCEEDED


def test_a_score_that_is_not_finite_is_none(database: Database) -> None:
    queue_job(database)
    row = {"key": "a", "state": "completed", "values": {}, "epochs": 1, "created": now()}
    with database.write() as connection:
        for number, score in enumerate([float("nan"), float("inf"), 0.1, float("-inf")]):
            connection.execute(
                insert(trials).values(
                    row | {"job": "job_1", "number": number, "score": score, "seconds": score}
                )
            )
    with database.read() as connection:
        ordered = select(trials.c.score).order_by(trials.c.score.nulls_last())
        assert list(connection.execute(ordered).scalars()) == [0.1, None, None, None]
        assert connection.execute(select(func.avg(trials.c.seconds))).scalar_one() == 0.1


def test_names_are_sorted_by_their_code_points(database: Database) -> None:
    names = ["10", "9", "A", "B-1", "B_1", "Z", "a", "b.1"]
    row = {"version": 1, "task": "binary", "created": now(), "files": {}, "details": {}}
    with database.write() as connection:
        for name in reversed(names):
            connection.execute(insert(versions).values(row | {"model": name, "ready": True}))
    catalog = ModelCatalog(database)
    assert [record.name for record in catalog.models(10)] == names
    assert [record.name for record in catalog.models(10, after="B_1")] == names[5:]


def test_large_numbers_long_texts_and_every_other_character_are_kept(database: Database) -> None:
    text = "naïve 東京 😀 \x01\x7f ' \" % \\u0000 " * 500
    columns = (ColumnProfile(text, ColumnType.NUMBER, 0, 1),)
    DatasetCatalog(database).add("ds_1", 2**40, columns, text, None)
    found = DatasetCatalog(database).get("ds_1")
    assert (found.rows, found.columns, found.name) == (2**40, columns, text)


def test_all_questions_of_one_reading_are_answered_as_of_one_moment(
    databases: list[Database],
) -> None:
    reader, writer = databases[:2]
    queue_job(writer)
    count = select(func.count()).select_from(jobs)
    with reader.read() as connection:
        before = connection.execute(count).scalar_one()
        queue_job(writer, "job_2")
        assert connection.execute(count).scalar_one() == before == 1
    with reader.read() as connection:
        assert connection.execute(count).scalar_one() == 2


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@host/db", "postgresql+asyncpg://u:secret@host/db", "postgres", ""]
)
def test_another_kind_of_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match="LUTHIER_DATABASE_URL") as refusal:
        Database(url)
    assert "secret" not in str(refusal.value)

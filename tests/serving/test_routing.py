"""The table of routes in memory; several processes are tested in tests/test_routing_service.py."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from models.errors import NotFound
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.removal import ModelRemoval
from models.registry.catalog.routes import Route, RouteChange
from models.registry.files import VersionFiles
from models.serving.engine import PredictionEngine
from models.serving.routing import Chosen, RoutingTable, share_of
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import metadata
from tests.absence import database_away
from tests.tiny_versions import publish_version
from tests.waiting import wait_until


@pytest.fixture
def catalog(database: Database, settings: Settings) -> ModelCatalog:
    """A catalog of three versions of `m`, the last of which is the champion."""
    artifacts = Artifacts(settings.resolved_artifacts)
    for _ in range(3):
        publish_version(database, artifacts)
    return ModelCatalog(database)


@pytest.fixture
def engine(catalog: ModelCatalog, settings: Settings) -> PredictionEngine:
    return PredictionEngine(
        VersionFiles(Artifacts(settings.resolved_artifacts), catalog.files), capacity=8
    )


@pytest.fixture
def other(settings: Settings) -> Iterator[Database]:
    """Connections of another process."""
    database = Database(settings.resolved_database_url)
    yield database
    database.close()


@pytest.fixture
def table(other: Database, engine: PredictionEngine) -> RoutingTable:
    return RoutingTable(other, ModelCatalog(other), engine.load, capacity=8)


def test_keys_are_spread_by_the_weights(catalog: ModelCatalog, table: RoutingTable) -> None:
    weights = {1: 0.5, 2: 0.3, 3: 0.2}
    catalog.set_alias("m", "champion", RouteChange(weights))
    counts: Counter[int] = Counter()
    for key in map(str, range(4000)):
        share, found = share_of(f"m\0champion\0{key}"), table.resolve("m", key=key).version
        assert found == (1 if share < 0.5 else 2 if share < 0.8 else 3)
        counts[found] += 1
    for version, weight in weights.items():
        assert counts[version] == pytest.approx(4000 * weight, rel=0.1)


def test_a_larger_weight_moves_only_the_keys_that_must_move(
    catalog: ModelCatalog, table: RoutingTable
) -> None:
    before: dict[int, int] = {}
    for weight in (0.1, 0.2, 0.5, 0.9):
        catalog.set_alias("m", "champion", RouteChange({1: 1 - weight, 2: weight}))
        table.refresh()
        found = {key: table.resolve("m", key=str(key)).version for key in range(1000)}
        moved = {(before[key], found[key]) for key in before if before[key] != found[key]}
        assert moved <= {(1, 2)}
        assert sum(version == 2 for version in found.values()) == pytest.approx(
            1000 * weight, rel=0.3
        )
        before = found


def test_models_and_aliases_are_spread_apart() -> None:
    texts = [f"{name}\0{key}" for name in ("m\0a", "m\0b", "n\0a") for key in range(100)]
    assert len({share_of(text) for text in texts}) == 300
    assert all(0 <= share_of(text) < 1 for text in texts)
    # Another number would move the customers of every rollout that is under way.
    assert share_of("m\0champion\0ann") == 0.2516506452870565


def test_every_version_is_chosen_by_chance(catalog: ModelCatalog, table: RoutingTable) -> None:
    catalog.set_alias("m", "champion", RouteChange({1: 0.5, 3: 0.5}, 2, keeps_shadow=False))
    found = {table.resolve("m") for _ in range(200)}
    assert found == {Chosen(1, 2), Chosen(3, 2)}


@pytest.mark.both_databases
def test_it_follows_what_another_process_commits(
    catalog: ModelCatalog, table: RoutingTable, database: Database
) -> None:
    assert table.resolve("m") == Chosen(3)
    catalog.set_alias("m", "champion", RouteChange.to(1))
    wait_until(lambda: table.resolve("m") == Chosen(1))
    catalog.set_alias("m", "new", RouteChange.to(2))
    assert table.resolve("m", alias="new") == Chosen(2), "what it does not know is looked up"
    ModelRemoval(database).remove_alias("m", "new")
    wait_until(lambda: _is_gone(table, alias="new"))
    assert table.resolve("m", 3) == Chosen(3)
    ModelRemoval(database).remove_version("m", 3)
    wait_until(lambda: _is_gone(table, version=3))
    assert table.resolve("m", 2) == Chosen(2)
    ModelRemoval(database).remove_model("m")
    wait_until(lambda: _is_gone(table))
    for wanted in ({}, {"version": 2}, {"alias": "none"}):
        with pytest.raises(NotFound, match="no model 'm'"):
            table.resolve("m", **wanted)


def test_a_refresh_sees_what_was_committed_before_it(
    catalog: ModelCatalog, table: RoutingTable
) -> None:
    for number in range(20):
        version = 1 + number % 3
        catalog.set_alias("m", "champion", RouteChange.to(version))
        table.refresh()
        assert table.resolve("m") == Chosen(version)


def test_the_versions_of_aliases_are_loaded_before_a_request_needs_them(
    catalog: ModelCatalog, table: RoutingTable, engine: PredictionEngine
) -> None:
    table.refresh_soon().result()
    wait_until(lambda: engine.held() == (("m", 3),))
    catalog.set_alias("m", "champion", RouteChange({3: 0.5, 1: 0.5}, 2, keeps_shadow=False))
    table.refresh()
    wait_until(lambda: set(engine.held()) == {("m", 1), ("m", 2), ("m", 3)})


def test_a_version_that_cannot_be_loaded_holds_nothing_up(
    catalog: ModelCatalog, table: RoutingTable, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    table.refresh()
    Artifacts(settings.resolved_artifacts).delete("models/m/1")
    catalog.set_alias("m", "champion", RouteChange.to(1))
    table.refresh()
    assert table.resolve("m") == Chosen(1)
    wait_until(lambda: "version 1 of model 'm' cannot be loaded" in caplog.text)


def test_the_last_known_routes_stay_in_use_while_the_database_is_away(
    catalog: ModelCatalog,
    table: RoutingTable,
    engine: PredictionEngine,
    database: Database,
    other: Database,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    catalog.set_alias("m", "champion", RouteChange({1: 0.5, 2: 0.5}))
    expected = {str(key): table.resolve("m", key=str(key)) for key in range(20)}
    assert table.resolve("m", 3) == Chosen(3)
    for version in (1, 2):
        engine.load("m", version)  # which has begun, and reads the database
    table.refresh_soon().result()
    with database_away(settings, database, other):
        message = "the last known ones stay in use"
        wait_until(lambda: table.resolve("m", 3) and message in caplog.text)
        assert {key: table.resolve("m", key=key) for key in expected} == expected
        assert table.resolve("m", 3) == Chosen(3)
        table.refresh_soon().result()
    catalog.set_alias("m", "champion", RouteChange.to(3))
    wait_until(lambda: table.resolve("m") == Chosen(3))


def test_routes_of_other_releases_are_read(database: Database, catalog: ModelCatalog) -> None:
    assert Route.stored(3, None, None) == Route({3: 1.0})
    unknown: Any
    for unknown in ([], "3", {"a": 1}, {"3": None}, {"3": {"share": 1}}):
        assert Route.stored(3, unknown, 4) == Route({3: 1.0}, 4)
    assert Route.stored(3, {"3": 0.9, "4": 0.1}, 5) == Route({3: 0.9, 4: 0.1}, 5)
    assert Route.stored(5, {"3": 0.9, "4": 0.1}, 5) == Route({5: 1.0}), "moved by a release before"
    with database.write() as connection:  # as if nothing was ever noted
        connection.execute(metadata.tables["route_changes"].delete())
    catalog.set_alias("m", "champion", RouteChange.to(1))
    assert catalog.route("m", "champion") == Route({1: 1.0})


def _is_gone(table: RoutingTable, **wanted: object) -> bool:
    try:
        table.resolve("m", **wanted)  # type: ignore[arg-type]
    except NotFound:
        return True
    return False

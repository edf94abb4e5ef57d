"""Which version answers a request, from a table in memory that follows the database."""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, islice
from random import random
from typing import NamedTuple

from sqlalchemy import Connection, select

from models.registry.catalog.aliases import CHAMPION, routes
from models.registry.catalog.catalog import ModelCatalog
from models.registry.catalog.routes import Route
from models.store.engine import Database
from models.store.tables import route_changes, versions

FRESH_SECONDS = 0.2  # that a table may be old; a move in another process takes that long at most

_RENEW_SECONDS = 0.1  # after which a request has the table looked after, and does not wait for it
_REREAD_SECONDS = 5.0  # until a table is read anew: processes of older releases note no changes
_AWAY_SECONDS = 1.0  # between two tries where the database does not answer
_PATIENCE = 0.5  # seconds that a request waits for a table that is not fresh
_WARM_SECONDS = 0.1  # that old routes stay in use while new versions are loaded
_SHARE_BITS = 53  # of a hash, which a float holds exactly

log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The versions for one request."""

    version: int  # answers
    shadow: int | None = None  # computes afterwards


@dataclass(frozen=True, slots=True)
class _Fork:
    """A route that is ready to choose from."""

    choices: tuple[Chosen, ...]  # by version
    bounds: tuple[float, ...]  # in [0, 1], where the next choice begins; none after the last

    @classmethod
    def of(cls, route: Route) -> "_Fork":
        numbers = sorted(route.weights)
        bounds = tuple(accumulate(route.weights[number] for number in numbers[:-1]))
        return cls(tuple(Chosen(number, route.shadow) for number in numbers), bounds)

    def choose(self, name: tuple[str, str], key: str | None) -> Chosen:
        if not self.bounds:
            return self.choices[0]
        point = random() if key is None else share_of("\0".join((*name, key)))
        return self.choices[bisect_right(self.bounds, point)]


@dataclass(frozen=True, slots=True)
class _Table:
    """All routes, and the versions that requests have named; as they were at one moment."""

    number: int  # of changes
    read: float  # when, by the monotonic clock
    routes: dict[tuple[str, str], Route]  # by model and alias
    forks: dict[tuple[str, str], _Fork]
    known: set[tuple[str, int]]  # grows until the next table


class RoutingTable:
    """Resolves aliases and versions in memory; threads may share it.

    A request that finds the table older than 0.1 s has one query look for changes in the
    background. One that finds it older than `FRESH_SECONDS`, such as the first after a pause, waits
    for that query. So moves of other processes are followed within `FRESH_SECONDS`, and nothing is
    asked while nobody predicts. While the database does not answer, the last table stays in use,
    however long that takes.

    Versions that new routes name are loaded by `load`, at most `capacity` of them at once. The old
    routes stay in use meanwhile, for some hundredths of a second.
    """

    def __init__(
        self,
        database: Database,
        catalog: ModelCatalog,
        load: Callable[[str, int], object],
        capacity: int,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._load = load
        self._capacity = capacity
        self._table: _Table | None = None
        self._checked = self._renew_at = float("-inf")  # by the monotonic clock
        self._is_away = False  # whether the database did not answer the last time
        self._asking, self._reading = threading.Lock(), threading.Lock()
        self._pending: Future[None] | None = None  # the last look for changes
        self._reader = ThreadPoolExecutor(1, "routes")
        self._warmer = ThreadPoolExecutor(1, "warm")

    def resolve(
        self,
        model: str,
        version: int | None = None,
        alias: str | None = None,
        key: str | None = None,
    ) -> Chosen:
        """Return the versions for a request, given a version, an alias, or neither (the champion).

        Requests with the same `key` get the same version of an alias as long as its weights stay.
        Raises NotFound.
        """
        table = self._current()
        if version is not None:
            if (model, version) not in table.known:
                table.known.add((model, self._catalog.resolve(model, version)))
            return Chosen(version)
        name = (model, alias or CHAMPION)
        fork = table.forks.get(name)
        if fork is None:
            self._read()  # it may have been made just now
            fork = self._current().forks.get(name)
        if fork is None:
            return Chosen(self._catalog.resolve(model, alias=alias))
        return fork.choose(name, key)

    def refresh(self) -> None:
        """Follow all changes that are committed by now; log it where the database is away."""
        try:
            self._read()
        except Exception as error:
            if threading.main_thread().is_alive():  # else the process ends, and nothing can start
                self._lose(error)

    def refresh_soon(self) -> "Future[None]":
        """Do so in the background, unless that is under way."""
        with self._asking:
            if self._pending is None or self._pending.done():
                self._pending = self._reader.submit(self.refresh)
            return self._pending

    def _current(self) -> _Table:
        now = time.monotonic()
        if now >= self._renew_at:
            pending = self.refresh_soon()
            is_stale = now - self._checked >= FRESH_SECONDS
            if is_stale and not self._is_away and not wait([pending], _PATIENCE).done:
                self._lose(f"no answer within {_PATIENCE:g} s")
        if self._table is None:
            self._read()
        assert self._table is not None
        return self._table

    def _read(self) -> None:
        """Look for changes, and read the routes anew if there are some."""
        with self._reading:
            began, table = time.monotonic(), self._table
            with self._database.read() as connection:
                number = _number(connection)
                is_same = table is not None and number == table.number
                if table is None or not is_same or began - table.read >= _REREAD_SECONDS:
                    known = set() if table is None else table.known.copy()
                    found = {(model, alias): route for model, alias, route in routes(connection)}
                    forks = {name: _Fork.of(route) for name, route in found.items()}
                    known &= _existing(connection, {model for model, _ in known})
                    table = _Table(number, began, found, forks, known)
            if table is not self._table:
                self._warm(table)
                self._table = table
            self._checked, self._renew_at = began, began + _RENEW_SECONDS
            if self._is_away:
                self._is_away = False
                log.info("the database answers again: aliases are followed")

    def _lose(self, reason: object) -> None:
        self._renew_at = time.monotonic() + _AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            log.warning("aliases cannot be followed, the last known ones stay in use: %s", reason)

    def _warm(self, table: _Table) -> None:
        """Load versions that the present routes do not name, and wait for them a little."""
        before = {} if self._table is None else self._table.routes
        new = dict.fromkeys(_named(table.routes))
        for name in _named(before):
            new.pop(name, None)
        loads = [
            self._warmer.submit(self._try_to_load, *name) for name in islice(new, self._capacity)
        ]
        wait(loads, _WARM_SECONDS)

    def _try_to_load(self, model: str, version: int) -> None:
        try:
            self._load(model, version)
        except Exception as error:  # requests for it say so, too
            log.warning("version %d of model %r cannot be loaded: %s", version, model, error)


def share_of(text: str) -> float:
    """Return a number in [0, 1) that is evenly spread over texts: 53 bits of BLAKE2b."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 64 - _SHARE_BITS) / (1 << _SHARE_BITS)


def _number(connection: Connection) -> int:
    query = select(route_changes.c.number).where(route_changes.c.id == 1)
    return int(connection.execute(query).scalar_one_or_none() or 0)


def _existing(connection: Connection, models: set[str]) -> set[tuple[str, int]]:
    query = select(versions.c.model, versions.c.version).where(
        versions.c.model.in_(models), versions.c.ready
    )
    return {(model, version) for model, version in connection.execute(query)}


def _named(found: dict[tuple[str, str], Route]) -> Iterator[tuple[str, int]]:
    """Yield model and number of each version that routes name, those of champions first."""
    for model, alias in sorted(found, key=lambda name: name[1] != CHAMPION):
        for version in found[model, alias].versions:
            yield model, version

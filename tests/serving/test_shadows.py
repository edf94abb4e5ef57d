"""Shadows beside an engine; over HTTP they are tested in tests/api/test_rollouts.py."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from models.registry.files import VersionFiles
from models.serving.engine import PLAIN_ANSWER, AnswerOptions, Prediction, PredictionEngine
from models.serving.shadows import MAX_ROWS, Outcome, ShadowResult, Shadows, compared
from models.serving.signature import STRICT
from tests.serving.conftest import Register
from tests.waiting import wait_until


@pytest.fixture
def engine(files: VersionFiles, register: Register) -> PredictionEngine:
    for version in (1, 2):
        register("m", version)
    return PredictionEngine(files, capacity=8)


@pytest.fixture
def ask(engine: PredictionEngine) -> Callable[..., None]:
    """Answer some rows by version 1 and have them computed by version 2."""

    def answer(shadows: Shadows, rows: int, options: AnswerOptions = PLAIN_ANSWER) -> None:
        instances = [[1.0]] * rows
        again = partial(engine.predict, "m", 2, instances, STRICT, options)
        shadows.compare(engine.predict("m", 1, instances), 2, again)

    return answer


def test_what_finds_too_many_rows_waiting_is_dropped_and_counted(
    ask: Callable[..., None],
) -> None:
    results: list[ShadowResult] = []
    release = threading.Event()

    def count(result: ShadowResult) -> None:
        results.append(result)
        if result.outcome is Outcome.COMPARED:
            release.wait()  # keeps the thread

    shadows = Shadows(count)
    try:
        ask(shadows, MAX_ROWS + 1)  # more than may wait, but nothing does
        wait_until(lambda: results)
        for rows in (MAX_ROWS - 1, 1, 1):
            ask(shadows, rows)
        assert [result.outcome for result in results] == [Outcome.COMPARED, Outcome.DROPPED]
    finally:
        release.set()
    wait_until(lambda: len(results) == 4)
    assert [result.rows for result in results] == [MAX_ROWS + 1, 0, MAX_ROWS - 1, 1]
    assert [result.difference for result in results if result.rows == 1] == [1.0]


def test_the_first_of_failures_in_a_row_is_logged(
    ask: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    results: list[ShadowResult] = []
    shadows = Shadows(results.append)
    of_classes = AnswerOptions(threshold=0.5)
    for options in (of_classes, of_classes, PLAIN_ANSWER, of_classes):
        ask(shadows, 1, options)
    wait_until(lambda: len(results) == 4)
    failed, ok = Outcome.FAILED, Outcome.COMPARED
    assert [result.outcome for result in results] == [failed, failed, ok, failed]
    assert caplog.text.count("shadow 2 of model 'm' fails: threshold") == 2


def test_classes_differ_and_numbers_have_a_distance() -> None:
    numbers = Prediction("m", 1, [1.0, 2.0]), Prediction("m", 2, [1.5, 1.0])
    assert compared(*numbers) == ShadowResult("m", 2, Outcome.COMPARED, 2, 0, 1.5)
    classes = [
        Prediction("m", n, labels, classes=["a", "b"])
        for n, labels in ((1, ["a", "b"]), (2, ["a", "a"]))
    ]
    assert compared(*classes) == ShadowResult("m", 2, Outcome.COMPARED, 2, 1, 0.0)
    assert compared(numbers[0], classes[0]).differing == 2

"""Shadows beside an engine; over HTTP they are tested in tests/api/test_rollouts.py."""

import threading
from collections.abc import Callable

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
def ask(engine: PredictionEngine) -> Callable[[Shadows, int], None]:
    """Answer some rows by version 1 and have them computed by version 2."""

    def answer(shadows: Shadows, rows: int) -> None:
        instances = [[1.0]] * rows
        answered = engine.predict("m", 1, instances)
        shadows.compare(answered, 2, instances, STRICT, PLAIN_ANSWER)

    return answer


def test_what_finds_too_many_rows_waiting_is_dropped_and_counted(
    engine: PredictionEngine, ask: Callable[[Shadows, int], None]
) -> None:
    results: list[ShadowResult] = []
    release = threading.Event()

    def count(result: ShadowResult) -> None:
        results.append(result)
        if result.outcome is Outcome.COMPARED:
            release.wait()  # keeps the thread

    shadows = Shadows(engine, count)
    ask(shadows, MAX_ROWS + 1)  # more than may wait, but nothing does
    wait_until(lambda: results)
    ask(shadows, MAX_ROWS - 1)
    ask(shadows, 1)
    ask(shadows, 1)
    assert [result.outcome for result in results] == [Outcome.COMPARED, Outcome.DROPPED]
    release.set()
    wait_until(lambda: len(results) == 4)
    assert [result.rows for result in results] == [MAX_ROWS + 1, 0, MAX_ROWS - 1, 1]
    assert [result.difference for result in results if result.rows == 1] == [1.0]


def test_the_first_of_failures_in_a_row_is_logged(
    engine: PredictionEngine, caplog: pytest.LogCaptureFixture
) -> None:
    results: list[ShadowResult] = []
    shadows = Shadows(engine, results.append)
    answered = engine.predict("m", 1, [[1.0]])
    of_classes = AnswerOptions(threshold=0.5)
    for options in (of_classes, of_classes, PLAIN_ANSWER, of_classes):
        shadows.compare(answered, 2, [[1.0]], STRICT, options)
    wait_until(lambda: len(results) == 4)
    failed, ok = Outcome.FAILED, Outcome.COMPARED
    assert [result.outcome for result in results] == [failed, failed, ok, failed]
    assert caplog.text.count("shadow 2 of model 'm' fails: threshold") == 2


def test_an_interval_is_not_computed_again(engine: PredictionEngine) -> None:
    results: list[ShadowResult] = []
    shadows = Shadows(engine, results.append)
    answered = engine.predict("m", 1, [[1.0]])
    shadows.compare(answered, 2, [[1.0]], STRICT, AnswerOptions(interval=0.9))
    wait_until(lambda: results)
    assert results[0].outcome is Outcome.COMPARED  # version 2 has no intervals


def test_classes_differ_and_numbers_have_a_distance() -> None:
    numbers = Prediction("m", 1, [1.0, 2.0]), Prediction("m", 2, [1.5, 1.0])
    assert compared(*numbers) == ShadowResult("m", 2, Outcome.COMPARED, 2, 0, 1.5)
    classes = [
        Prediction("m", n, labels, classes=["a", "b"])
        for n, labels in ((1, ["a", "b"]), (2, ["a", "a"]))
    ]
    assert compared(*classes) == ShadowResult("m", 2, Outcome.COMPARED, 2, 1, 0.0)
    assert compared(numbers[0], classes[0]).differing == 2

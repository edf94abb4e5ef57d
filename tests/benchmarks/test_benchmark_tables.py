"""From figures of the benchmarks to tables."""

import pytest

from benchmarks.growth import rendering as growth
from benchmarks.tuning import rendering, target

MACHINE = {
    "cpu": "A processor",
    "cores": 2,
    "memory_gib": 8.0,
    "python": "3.11.7",
    "load": 0.1,
    "libraries": {"numpy": "2.0"},
}
ABOUT = {"command": "the command", "date": "2026-01-02T03:04:05", "revision": "abc"} | {
    "machine": MACHINE
}


def figures(seconds: float, **changes: object) -> dict[str, object]:
    rounds = [seconds, 2 * seconds, seconds / 2]
    return {
        "seconds": {"median": seconds, "rounds": rounds},
        "trials": 4,
        "way": "both cores",
        "first_round": {"both cores": seconds, "one core": 3 * seconds},
    } | changes


def document(**contestants: object) -> dict[str, object]:
    workloads = {"A": {"title": "rows", "contestants": contestants}}
    return ABOUT | {"options": {"rounds": 3, "quick": False}, "workloads": workloads}


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_a_row_shows_seconds_and_multiples_of_the_trainer():
    page = rendering.page(document(trainer=figures(0.1), keras_tuner=figures(2.5)))
    assert "| **A** rows | 0.1 | 2.5 (25×) |" in page
    assert "| seconds a trial | Luthier trainer | Keras Tuner `RandomSearch` |" in page


def test_bars_are_met_missed_or_not_measured():
    page = rendering.page(
        document(trainer=figures(0.1), keras_tuner=figures(2.5), torch={"missing": True})
    )
    met, aim, torch, service = lines(page, "| A |")
    assert met.endswith("| 20× | 25× | met |")
    assert aim.endswith("| 30× (aim) | 25× | **missed** |")
    assert torch.endswith("| 1.2× | — | not measured |")
    assert service.endswith("| 15× | — | not measured |")


def test_a_library_that_is_missing_or_failed_has_no_figure():
    page = rendering.page(
        document(trainer=figures(0.1), torch={"missing": True}, optuna={"error": "it broke"})
    )
    (row,) = lines(page, "| **A**")
    assert row == "| **A** rows | 0.1 | failed | not installed |"


def test_the_notes_name_ways_trials_machine_and_command():
    page = rendering.page(document(trainer=figures(0.1)))
    assert "Luthier trainer: 4 trials, both cores, 0.05–0.2 s (one core: 0.3 s)" in page
    assert "A processor, 2 cores" in page
    assert "`the command`" in page
    assert "quick run" not in page


@pytest.mark.parametrize(
    ("reached", "cell", "verdict"),
    [(3, "20 s", "| 15× | 20× | met |"), (1, "> 30 s", "| 15× | — | not measured |")],
)
def test_a_search_that_mostly_missed_the_target_has_no_time(reached, cell, verdict):
    ours = [{"seconds": 1.0, "reached": True}] * 3
    times = (10.0, 20.0, 30.0)
    theirs = [{"seconds": s, "reached": n < reached} for n, s in enumerate(times)]
    sides = {"luthier": target.summarize(ours), "keras_tuner": target.summarize(theirs)}
    found = {"title": "E", "target": 0.5, "max_trials": 40, "strategies": {"random": sides}}
    page = rendering.page(document(trainer=figures(0.1)) | {"target": found})
    (row,) = lines(page, "| **E**")
    assert cell in row
    (bar,) = lines(page, "| E, random |")
    assert bar.endswith(verdict)


def test_growth_of_memory_is_judged():
    held = [
        {"trials": 10, "worker": 100, "trial_process": 500},
        {"trials": 1000, "worker": 101, "trial_process": 540},
    ]
    keras = [{"trials": 10, "process": 600}, {"trials": 100, "process": 1600}]
    found = ABOUT | {"options": {"quick": False}, "memory": {"luthier": held, "keras": keras}}
    page = growth.page(found)
    assert "| Luthier, 1,000 trials | 540 | 101 |" in page
    assert "| Keras, 100 fits | 1600 | — |" in page
    assert "+8.0% from first to last, met" in page
    held[1]["trial_process"] = 551
    assert "**missed**" in growth.page(found)

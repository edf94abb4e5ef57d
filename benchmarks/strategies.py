"""What each strategy of example 5 finds and takes, over several seeds.

`python -m benchmarks.strategies` runs the requests of `examples/5-comparison` once for every seed
through a real service and prints medians, with the lowest and highest in brackets. A seed decides
the split, the trials and the weights, so every strategy is given the same splits as the others.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.tuning.service import Service, running

FOLDER = Path(__file__).parent.parent / "examples" / "5-comparison"
STRATEGIES = ("manual", "grid", "random", "bayesian", "hyperband")


def outcomes(service: Service, task: str, seed: int) -> dict[str, dict[str, float]]:
    """Figures of the job of each strategy."""
    jobs = {}
    for strategy in STRATEGIES:
        request = json.loads((FOLDER / f"{task}-{strategy}.json").read_text("utf-8"))
        _, job = service.tune(request | {"seed": seed, "reuse": False})
        jobs[strategy] = job["id"]
    compared = service.client.compare(*jobs.values())["items"]
    return {
        strategy: {
            "trials": found["trials"]["completed"] + found["trials"]["stopped"],
            "seconds": found["seconds"],
            "to_best": found["seconds_to_best"],
            "best": found["best_score"],
            "test": found["held_out"]["score"],
        }
        for strategy, found in zip(jobs, compared, strict=True)
    }


def shown(values: Sequence[float], digits: str) -> str:
    """Median, lowest and highest."""
    middle = f"{statistics.median(values):{digits}}"
    if min(values) == max(values):
        return middle
    return f"{middle} [{min(values):{digits}}–{max(values):{digits}}]"


def main() -> None:
    """Run and print a table for each task."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    seeds = range(options.parse_args().seeds)
    with running() as service:
        for task, digits in (("regression", ",.0f"), ("classification", ".3f")):
            found = [outcomes(service, task, seed) for seed in seeds]
            table = Table(title=f"{task}, {len(seeds)} seeds")
            for heading in ("strategy", "trials", "seconds", "to the best", "best", "test"):
                table.add_column(heading)
            forms = {"trials": ".0f", "seconds": ".1f", "to_best": ".1f"}
            for strategy in STRATEGIES:
                figures = [each[strategy] for each in found]
                table.add_row(
                    strategy,
                    *(
                        shown([each[name] for each in figures], forms.get(name, digits))
                        for name in figures[0]
                    ),
                )
            Console(width=120).print(table)


if __name__ == "__main__":
    main()

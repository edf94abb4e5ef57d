"""Print how long a trial takes, by Luthier and by what it would be done with otherwise.

`python -m benchmarks.tuning` runs every contestant on every workload; docs/performance.md says what
they are. `--json FILE` keeps the figures, `--from FILE` makes the tables of a file kept before.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.tuning import rendering, results, speed, target
from benchmarks.tuning.contestants.table import CONTESTANTS
from benchmarks.tuning.workloads import WORKLOADS

_QUICK_TRIALS, _QUICK_EPOCHS = 4, 2


def main() -> None:
    """Measure and print."""
    options = _parse()
    document = results.read(options.from_file) if options.from_file else measure(options)
    text = rendering.page(document)
    if options.markdown:
        print(text, end="")
    else:
        rendering.show(text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the workloads asked for; the file is written after each of them."""
    rounds = 1 if options.quick else options.rounds
    trials, epochs = (_QUICK_TRIALS, _QUICK_EPOCHS) if options.quick else (options.trials, None)
    chosen = {"rounds": rounds, "trials": trials, "quick": options.quick}
    document = results.new_document(chosen) | {"workloads": {}}
    for name in options.workloads:
        if name in WORKLOADS:
            workload = WORKLOADS[name].among(options.contestants).shortened(trials, epochs)
            document["workloads"][name] = speed.compare(workload, rounds, _say)
        else:
            seeds = 1 if options.quick else options.seeds
            document["target"] = target.compare(seeds, epochs or WORKLOADS["A"].epochs, _say)
        results.write(document, options.json)
    return document


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workloads", type=_workloads, default=[*WORKLOADS, "E"])
    options.add_argument(
        "--contestants", type=_contestants, default=[*CONTESTANTS], help="of A to D"
    )
    options.add_argument("--rounds", type=int, default=3, help="alternating repeats of A to D")
    options.add_argument("--seeds", type=int, default=15, help="searches of E")
    options.add_argument("--trials", type=int, help="at most so many a contestant, A to D")
    options.add_argument("--quick", action="store_true", help="only see that everything works")
    options.add_argument("--json", type=Path, help="file to write the figures to")
    options.add_argument("--from", dest="from_file", type=Path, help="file to read them from")
    options.add_argument("--markdown", action="store_true", help="print Markdown")
    return options.parse_args()


def _workloads(text: str) -> list[str]:
    names = text.upper().split(",")
    unknown = set(names) - {*WORKLOADS, "E"}
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no workload {', '.join(sorted(unknown))}")
    return names


def _contestants(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {*CONTESTANTS}:
        known = ", ".join(CONTESTANTS)
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {known}")
    return names


if __name__ == "__main__":
    main()

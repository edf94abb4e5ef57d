"""Print how time and memory grow with trials, rows and parallelism.

`--json FILE` keeps the figures, `--from FILE` makes the tables of a file kept before.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.growth import measuring, rendering
from benchmarks.tuning import results
from benchmarks.tuning.rendering import show
from benchmarks.tuning.workloads import WORKLOADS


def _plan(quick: bool) -> dict[str, Callable[[], Any]]:
    """The parts by name."""
    epochs = 2 if quick else WORKLOADS["A"].epochs
    degrees = range(1, (os.cpu_count() or 1) + 1)
    trials, side = ((4, 8), 4) if quick else ((16, 64, 256, 1024), 32)
    counts, most_served = ((1000,), 1000) if quick else ((10**3, 10**4, 10**5, 10**6), 10**5)
    marks, fits = ((2, 4), (2, 4)) if quick else ((10, 100, 500, 1000), (10, 50, 100))
    return {
        "trials": lambda: measuring.grow_trials(trials, epochs),
        "parallelism": lambda: measuring.grow_parallelism(degrees, side, epochs),
        "rows": lambda: measuring.grow_rows(counts, most_served),
        "memory": lambda: {
            "luthier": measuring.grow_service(marks),
            "keras": measuring.grow_keras(fits),
        },
    }


def main() -> None:
    """Measure and print."""
    options = _parse()
    document = results.read(options.from_file) if options.from_file else _measure(options)
    text = rendering.page(document)
    if options.markdown:
        print(text, end="")
    else:
        show(text)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    document = results.new_document({"quick": options.quick})
    for name, measure in _plan(options.quick).items():
        if name in options.parts:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            document[name] = measure()
            results.write(document, options.json)
    return document


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--parts", type=_parts, default=[*_plan(True)])
    options.add_argument("--quick", action="store_true", help="only see that everything works")
    options.add_argument("--json", type=Path, help="file to write the figures to")
    options.add_argument("--from", dest="from_file", type=Path, help="file to read them from")
    options.add_argument("--markdown", action="store_true", help="print Markdown")
    return options.parse_args()


def _parts(text: str) -> list[str]:
    names = text.split(",")
    unknown = set(names) - set(_plan(True))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()

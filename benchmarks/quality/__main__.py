"""`python -m benchmarks.quality`: run contenders on real tables, keep every run, print tables.

Each run is appended to the file of `--resume` at once; runs that it has are not repeated, so an
interrupted bench goes on. On every split Luthier runs first, since the others get its seconds.
`--request '{"ensemble": 1}' --label single` runs Luthier under another name with more than the
three fields, and `--variant NAME` with a part of the default taken out. `--render FILE` prints the
tables of a file as Markdown.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.quality.contenders import CONTENDERS
from benchmarks.quality.fitting import run_contender
from benchmarks.quality.rendering import LUTHIER, NothingToShow, render
from benchmarks.quality.results import Results, describe_run
from benchmarks.quality.service import LuthierService, luthier
from benchmarks.quality.tables import SPLITS, Case, Table, load, read_tables, split
from benchmarks.quality.variants import VARIANTS
from benchmarks.tuning.results import new_document

_FILE = Path(".luthier-bench-quality.jsonl")
_ROWS = 10_000
_LIMIT = 60.0  # seconds of the others where Luthier failed


def main() -> None:
    """Run what is missing, then print."""
    options = _parse()
    results = Results.read(options.render or options.resume)
    if not options.render:
        _run(options, results)
    runs = [run for run in results.runs if run["max_rows"] == options.rows]
    try:
        print(render(results.calls, runs, options.contenders), end="")
    except NothingToShow as error:
        print(error, file=sys.stderr)


def _run(options: argparse.Namespace, results: Results) -> None:
    label = options.label or LUTHIER
    chosen = [name for name in options.contenders if name in CONTENDERS]
    missing = [name for name in chosen if not CONTENDERS[name].is_installed]
    for name in missing:
        _say(f"{CONTENDERS[name].title}: {CONTENDERS[name].package} is not installed")
    names = [label if name == LUTHIER else name for name in options.contenders]
    names = sorted((n for n in names if n not in missing), key=lambda name: name != label)
    tables = _installed(options.tables)
    wanted = [
        (table, number, left)
        for number in options.splits  # so that an interrupted bench has each table once
        for table in tables
        if (left := [n for n in names if not results.find(options.rows, table.name, number, n)])
    ]
    if not wanted:
        return
    results.begin(new_document({key: str(value) for key, value in vars(options).items()}))
    with ExitStack() as stack:
        service = None
        if any(label in left for _, _, left in wanted):
            service = stack.enter_context(luthier(options.request, options.python))
        for table, number, left in wanted:
            case = split(table, load(table, options.rows), number)
            for name in left:
                _run_one(case, name, options, results, service if name == label else None)


def _run_one(
    case: Case,
    name: str,
    options: argparse.Namespace,
    results: Results,
    service: LuthierService | None,
) -> None:
    limit = None
    if service is not None:
        outcome = service.run(case)
    else:
        first = results.find(options.rows, case.table.name, case.split, LUTHIER)
        if first is None and not options.seconds:
            sys.exit(f"Luthier has not run on {case.table.name}, split {case.split}: --seconds")
        limit = options.seconds or (first["seconds"] if first["state"] == "done" else _LIMIT)
        outcome = run_contender(name, case, limit)
    run = describe_run(case, options.rows, name, outcome, limit)
    results.add({**run, "request": options.request if service is not None else None})
    _say(
        f"{case.table.name} {case.split} {name}: {run['state']}, error {run['error']:.4g}"
        f" (baseline {run['baseline']:.4g}), {run['seconds']:.1f} s"
        + (f": {run['reason']}" if run["reason"] else "")
    )


def _installed(names: list[str]) -> list[Table]:
    """Return the tables whose package is there; name the others."""
    tables = [read_tables()[name] for name in names]
    absent = [table for table in tables if not table.is_installed]
    for table in absent:
        _say(f"{table.name}: {table.source} is not installed")
    return [table for table in tables if table not in absent]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    everybody = [LUTHIER, *CONTENDERS]
    tables = list(read_tables())
    options = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add = options.add_argument
    add("--tables", nargs="+", choices=tables, default=tables, metavar="NAME")
    add("--contenders", nargs="+", choices=everybody, default=everybody, metavar="NAME")
    add("--splits", nargs="+", type=int, choices=range(SPLITS), default=list(range(SPLITS)))
    add("--rows", type=int, default=_ROWS, help="of a table, at most")
    add("--resume", type=Path, default=_FILE, metavar="FILE", help="where runs are kept")
    add("--render", type=Path, metavar="FILE", help="only print the tables of a file")
    add("--request", type=json.loads, default={}, metavar="JSON", help="more of Luthier's request")
    add("--label", help="the name of Luthier with that request")
    add("--variant", choices=VARIANTS, help="a request and its name in place of these two")
    add("--seconds", type=float, help="for each contender, in place of those of Luthier")
    add("--python", default=sys.executable, help="the interpreter that serves Luthier")
    found = options.parse_args()
    if found.variant:
        found.request, found.label = VARIANTS[found.variant], found.variant
    if bool(found.request) != bool(found.label):
        options.error("--request and --label belong together")
    if found.label in everybody:
        options.error(f"--label {found.label} is the name of a contender")
    return found


if __name__ == "__main__":
    main()

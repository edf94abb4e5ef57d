"""The outcomes of many rounds as one table."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.invariants import COLUMNS, has_command
from tests.chaos.plan import DATABASES, plan_round
from tests.chaos.rounds import Outcome

_NEEDS = {"files": "gc", "rows": "fsck"}  # commands that show it


def rendered(outcomes: Sequence[Outcome]) -> str:
    """Return the tables of faults and of breaches in Markdown."""
    databases = [name for name in DATABASES if any(o.plan.database == name for o in outcomes)]
    rounds = {name: [o for o in outcomes if o.plan.database == name] for name in databases}
    lines = [_row("", *databases), _row("---", *("---" for _ in databases))]
    lines.append(_row("rounds", *(len(rounds[name]) for name in databases)))
    jobs = {name: sum(len(o.plan.jobs) for o in rounds[name]) for name in databases}
    lines.append(_row("jobs", *jobs.values()))
    done = {name: Counter(kind for o in rounds[name] for kind in o.done) for name in databases}
    for kind in sorted(set().union(*done.values())):
        lines.append(_row(f"fault: {kind.replace('_', ' ')}", *(done[n][kind] for n in databases)))
    lines.append(_row("faults", *(done[name].total() for name in databases)))
    for column, promise in COLUMNS.items():
        command = _NEEDS.get(column)
        counts: list[object] = [
            sum(len(o.breaches.get(column, ())) for o in rounds[name]) for name in databases
        ]
        if command is not None and not has_command(command):
            counts = ["not checked"] * len(databases)
        lines.append(_row(f"breaches: {promise}", *counts))
    return "\n".join(lines)


def described(outcome: Outcome) -> str:
    """Return one line about a round, and one for each breach."""
    plan = outcome.plan
    head = f"seed {plan.seed} {outcome.seconds:5.1f} s  {plan}"
    lines = [f"{head}  ->  {', '.join(outcome.jobs.values())}"]
    lines += [f"    left out: {text}" for text in outcome.skipped]
    for column, texts in outcome.breaches.items():
        lines += [f"    BREACH {column}: {text[:500]}" for text in texts]
    if outcome.folder:
        again = f"python -m tests.chaos --rounds 1 --seed {plan.seed} --database {plan.database}"
        again += "" if plan.executor == "local" else f" --executor {plan.executor}"
        lines.append(f"    kept: {outcome.folder}   again: {again}")
    return "\n".join(lines)


def write_json(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write every round with its breaches."""
    path.write_text(json.dumps([outcome.document() for outcome in outcomes], indent=1) + "\n")


def read_json(path: Path) -> list[Outcome]:
    """Return the rounds that `write_json` wrote; none if there is no such file."""
    if not path.exists():
        return []
    outcomes = []
    for document in json.loads(path.read_text()):
        database = document.pop("plan").partition(":")[0]
        plan = plan_round(document.pop("seed"), database, document.pop("executor", "local"))
        statuses = {int(status): count for status, count in document.pop("statuses").items()}
        outcomes.append(Outcome(plan=plan, statuses=statuses, **document))
    return outcomes


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"

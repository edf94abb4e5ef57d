"""Break a real service at random and check that it keeps its promises.

`python -m tests.chaos --rounds 100 --seed 1` runs the rounds of the seeds 1 to 100. Each follows
from its seed alone, so that `--rounds 1 --seed 42` runs that of the seed 42 again. The exit status
is 1 where a promise was broken; the folder with the logs of such a round is kept.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.lanes import opened, run_lanes, stop_on_signals
from tests.chaos.plan import DATABASES, EXECUTORS, RoundPlan, plan_round
from tests.chaos.reference import run_references
from tests.chaos.rounds import Outcome
from tests.chaos.table import described, read_json, rendered, write_json


def main() -> int:
    """Run the rounds, print each and the table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--database", choices=DATABASES, help="default: each of them in turn")
    parser.add_argument("--executor", choices=EXECUTORS, default="local")
    parser.add_argument("--lanes", type=int, default=2, help="rounds at once")
    parser.add_argument(
        "--json", type=Path, help="file for every round; those that it has are not run again"
    )
    wanted = parser.parse_args()
    stop_on_signals()
    outcomes = read_json(wanted.json) if wanted.json else []
    known = {outcome.plan.seed for outcome in outcomes}
    seeds = [seed for seed in range(wanted.seed, wanted.seed + wanted.rounds) if seed not in known]
    plans = [plan_round(seed, wanted.database or "", wanted.executor) for seed in seeds]
    folder = Path(tempfile.mkdtemp(prefix="luthier-chaos-"))
    began = time.monotonic()

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if wanted.json:
            write_json(outcomes, wanted.json)
        print(described(outcome), flush=True)

    try:
        if plans:
            with opened(folder / "reference", "sqlite", wanted.executor) as lane:
                reference = run_references(plans, lane.started())
            seconds = time.monotonic() - began
            print(f"{len(reference)} jobs without faults: {seconds:.0f} s", flush=True)
            run_lanes(in_lanes(plans, wanted.lanes), reference, folder, report)
    finally:
        if outcomes:
            print(f"\n{rendered(outcomes)}")
    seconds = time.monotonic() - began
    broken = [outcome.plan.seed for outcome in outcomes if outcome.breaches]
    print(f"\n{len(outcomes)} rounds, {len(plans)} of them now, in {seconds:.0f} s")
    if not broken:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"Rounds with breaches: {', '.join(map(str, sorted(broken)))}. Kept: {folder}")
    return 1


def in_lanes(plans: Sequence[RoundPlan], most: int) -> list[tuple[str, list[RoundPlan]]]:
    """Divide rounds among lanes; each has the rounds of one database."""
    kinds = [name for name in DATABASES if any(plan.database == name for plan in plans)]
    lanes: list[tuple[str, list[RoundPlan]]] = []
    for number, name in enumerate(kinds):
        own = [plan for plan in plans if plan.database == name]
        count = max(1, most // len(kinds) + (number < most % len(kinds)))
        lanes += [(name, own[first::count]) for first in range(min(count, len(own)))]
    return lanes


if __name__ == "__main__":
    sys.exit(main())

"""What the oracle and the trials of a job would do, done by hand."""

from typing import Any

from models.jobs.ledger import Ledger
from models.oracles.oracle import Proposal
from models.oracles.strategy import Manual
from models.trials.spec import TrialResult

LINEAR = {"num_layers": 0, "batch_size": 64}


def manual(count: int) -> Manual:
    """Trials that differ in their learning rate."""
    return Manual(tuple({**LINEAR, "learning_rate": 0.001 * (i + 1)} for i in range(count)))


def propose(ledger: Ledger, count: int) -> list[int]:
    """Record `count` trials; answer their numbers."""
    known = len(ledger.trials())
    rates = [0.001 * (known + index + 1) for index in range(count)]
    proposals = [
        Proposal(f"manual-{known + index}", {**LINEAR, "learning_rate": rate})
        for index, rate in enumerate(rates)
    ]
    return [trial.number for trial in ledger.propose(proposals, 2, {})]


def scored(score: float | None, **changes: Any) -> TrialResult:
    """The result of a trial."""
    parts: dict[str, Any] = {
        "score": score,
        "spread": 0.0,
        "metrics": {"loss": score},
        "history": {"loss": [score]},
        "seconds": 2.0,
        "best_epoch": 1,
        "epochs": 2,
    }
    return TrialResult(**(parts | changes))

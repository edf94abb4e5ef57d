import json
import random
from dataclasses import asdict
from functools import partial

import pytest

from models.oracles.create import create_oracle
from models.oracles.oracle import Observation
from models.space.schema import load_space

CONDITIONAL = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 32, "step": 8, "per_layer": True},
    "dropout": {"type": "float", "min": 0.0, "max": 0.5, "step": 0.1},
    "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
    "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
    "batch_size": {"type": "int", "min": 8, "max": 64, "sampling": "log"},
    "batch_normalization": {"type": "boolean"},
}
COMPACT = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "int", "min": 8, "max": 32, "step": 8, "per_layer": True},
    "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
    "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"optimizer": ["sgd"]}},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
}
# 12 combinations: for one layer 2, for two 4; each with adam, or sgd and no momentum to choose.
SMALL = {
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "choice", "values": [8, 16], "per_layer": True},
    "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
}


@pytest.fixture
def conditional():
    return load_space(CONDITIONAL, "mlp")


@pytest.fixture
def compact():
    return load_space(COMPACT, "mlp")


@pytest.fixture
def small():
    return load_space(SMALL, "mlp")


class Run:
    """Drives an oracle as a worker does, keeping what a database would."""

    def __init__(self, strategy, space, *, direction="min", seed=1, max_trials=None, epochs=9):
        self.create = partial(create_oracle, strategy, space, direction, seed, epochs=epochs)
        self.max_trials = max_trials
        self.proposals = []
        self.rows = {}
        self.oracle = self.create(max_trials=max_trials)

    def ask(self, n=1):
        proposals = self.oracle.ask(n)
        for proposal in proposals:
            assert proposal.key not in self.rows
            self.proposals.append(proposal)
            self.rows[proposal.key] = Observation(proposal.key, proposal.values, None, running=True)
        return proposals

    def tell(self, key, score):
        self.oracle.tell(key, score)
        self.rows[key] = Observation(key, self.rows[key].values, score)

    def discard(self, key):
        """Discard a trial, as its user does; the worker makes the oracle anew."""
        self.rows[key] = Observation(key, self.rows[key].values, None, discarded=True)
        self.reborn()

    def running(self):
        return [key for key, row in self.rows.items() if row.running]

    def to_the_end(self, score, *, parallel=1, fails=lambda proposal: False, seed=0):
        """Run until the oracle has finished; trials end in a shuffled order."""
        order = random.Random(seed)
        by_key = {}
        while True:
            asked = self.ask(parallel - len(self.running()))
            by_key.update({proposal.key: proposal for proposal in asked})
            running = self.running()
            if not running:
                if asked:
                    continue
                break
            proposal = by_key[order.choice(running)]
            self.tell(proposal.key, None if fails(proposal) else score(proposal))
        assert self.oracle.finished
        return self.proposals

    def reborn(self, **changes):
        """Restart from what a database would have kept, by way of JSON."""
        state = json.loads(json.dumps(self.oracle.state(), allow_nan=False))
        rows = json.loads(json.dumps([asdict(row) for row in self.rows.values()], allow_nan=False))
        self.oracle = self.create(
            max_trials=changes.get("max_trials", self.max_trials),
            state=state,
            history=[Observation(**row) for row in rows],
        )


@pytest.fixture
def run():
    return Run

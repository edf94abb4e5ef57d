"""What happens in a round, decided by its seed alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

DATABASES = ("sqlite", "postgresql")
EXECUTORS = ("local", "ray")
EPOCHS = 150
LEASE_SECONDS = 4.0  # of the services under test
BUSY_SECONDS = 30.0  # that SQLite waits for its lock

# Enough rows for a split; the network has steps enough for a trial to be killed in the middle.
CSV = "x,kind,y\n" + "".join(f"{n},{'ab'[n % 2]},{2 * n + n % 2}\n" for n in range(40))
ROWS = [{"x": 7.0, "kind": "b"}, {"x": 8.5, "kind": None}, {"x": 31.0, "kind": "a"}]

_SPACE: dict[str, Any] = {
    "num_layers": 1,
    "batch_size": 4,
    "units": {"type": "int", "min": 2, "max": 9},
    "learning_rate": {"type": "float", "min": 0.001, "max": 0.01, "sampling": "log"},
}
_LISTED = [{"units": units, "learning_rate": 0.002} for units in (3, 5, 7, 9)]
STRATEGIES: dict[str, dict[str, Any]] = {
    "manual": {
        "strategy": {"name": "manual", "trials": _LISTED},
        "budget": {"epochs": EPOCHS},
    },
    "grid": {
        "strategy": {"name": "grid", "points": 2},
        "search_space": {**_SPACE, "units": {"type": "int", "min": 2, "max": 8, "step": 2}},
        "budget": {"epochs": EPOCHS, "max_trials": 5},
    },
    "random": {"strategy": "random", "budget": {"epochs": EPOCHS, "max_trials": 5}},
    "bayesian": {
        "strategy": {"name": "bayesian", "num_initial_points": 3},
        "budget": {"epochs": EPOCHS, "max_trials": 6},
    },
    "hyperband": {
        "strategy": {"name": "hyperband", "factor": 9},
        "budget": {"epochs": 70},
    },
}
LEARNING = frozenset({"bayesian", "hyperband"})  # what they propose depends on earlier results
RAISABLE = frozenset({"grid", "random", "bayesian"})
RAISED_BY = 2  # trials
ENQUEUED = [{"units": units, "learning_rate": 0.004} for units in (4, 6)]
JOB_SEEDS = (1, 2, 3)  # few, so that the runs without faults to compare with are few


@dataclass(frozen=True)
class When:
    """A moment relative to what is observed of the round's first job."""

    event: str  # `running`, `ended` (trials), `saving` (the winner is exported) or `over`
    count: int = 0  # of ended trials
    delay: float = 0.0  # seconds after it was seen

    def __str__(self) -> str:
        text = f"{self.count} ended" if self.event == "ended" else self.event
        return f"{text}+{self.delay:.2f}s"


@dataclass(frozen=True)
class Fault:
    """Something that breaks."""

    kind: str
    when: When
    which: int  # of several processes
    seconds: float  # that it lasts, or the clock jumps

    def __str__(self) -> str:
        return f"{self.kind}@{self.when}"


@dataclass(frozen=True)
class Action:
    """Something that one of the two clients does to a job."""

    kind: str
    job: int
    when: When

    def __str__(self) -> str:
        return f"{self.kind}({self.job})@{self.when}"


@dataclass(frozen=True)
class JobPlan:
    """One job: a strategy, trials at once, and its seed."""

    strategy: str
    parallelism: int
    seed: int

    def request(self, model: str, dataset: str, raised_by: int = 0) -> dict[str, Any]:
        """The body of `POST /tune`."""
        body: dict[str, Any] = {
            "model": model,
            "dataset": dataset,
            "target": "y",
            "task": "regression",
            "search_space": _SPACE,
            "parallelism": self.parallelism,
            "seed": self.seed,
            "reuse": False,
            **STRATEGIES[self.strategy],
        }
        if raised_by:
            budget: Mapping[str, Any] = body["budget"]
            body["budget"] = {**budget, "max_trials": budget["max_trials"] + raised_by}
        return body


@dataclass(frozen=True)
class RoundPlan:
    """A whole round."""

    seed: int
    database: str
    jobs: tuple[JobPlan, ...]
    faults: tuple[Fault, ...]
    actions: tuple[tuple[Action, ...], ...]  # of each client
    executor: str = "local"

    @property
    def corrupts(self) -> bool:
        """Whether it damages files, so that a job may rightly fail."""
        return any(fault.kind.startswith("corrupt") for fault in self.faults)

    def enqueues(self, index: int) -> bool:
        """Return whether a client enqueues trials to a job."""
        actions = [action for several in self.actions for action in several]
        return any(action.kind == "enqueue" and action.job == index for action in actions)

    def __str__(self) -> str:
        jobs = ", ".join(f"{job.strategy}x{job.parallelism}" for job in self.jobs)
        faults = ", ".join(map(str, self.faults)) or "no fault"
        actions = ", ".join(str(action) for several in self.actions for action in several)
        over = "" if self.executor == "local" else f" over {self.executor}"
        return f"{self.database}:{over} {jobs}; {faults}" + (f"; {actions}" if actions else "")


# How often each is chosen. The service over SQLite takes longest to start again.
_FAULTS = {
    "child_kill": 5,
    "api_process_kill": 3,
    "worker_pause": 3,
    "clock_jump": 4,
    "disk_full": 4,
    "disk_read_only": 4,
    "corrupt_dataset": 1,
    "corrupt_weights": 1,
    "corrupt_version": 2,
}
_OF_DATABASE = {
    "sqlite": {"database_lock": 5, "worker_kill": 3, "api_kill": 1, "service_kill": 1},
    "postgresql": {
        "worker_kill": 5,
        "api_kill": 3,
        "backends_end": 5,
        "postgres_kill": 4,
        "postgres_restart": 3,
        "postgres_pause": 2,
    },
}
_OF_EXECUTOR = {"local": {}, "ray": {"slot_kill": 8, "node_kill": 8}}
KINDS = tuple(
    {**_FAULTS, **_OF_DATABASE["sqlite"], **_OF_DATABASE["postgresql"], **_OF_EXECUTOR["ray"]}
)
_MAX_DEATHS = 2  # in one round, as each costs seconds of starting TensorFlow
_DEATHS = frozenset(
    {"worker_kill", "child_kill", "api_kill", "service_kill", "slot_kill", "node_kill"}
)
_LONG_LOCK = 0.04  # share of locks that outlast the busy timeout


def plan_round(seed: int, database: str = "", executor: str = "local") -> RoundPlan:
    """Decide a round; without `database` the seed decides that, too."""
    random = Random(seed)
    first = DATABASES[seed % len(DATABASES)]
    database = database or first
    jobs = tuple(
        JobPlan(random.choice(list(STRATEGIES)), random.choice((1, 1, 2)), random.choice(JOB_SEEDS))
        for _ in range(random.choice((1, 1, 2)))
    )
    faults = tuple(_faults(random, database, executor))
    one, other = (tuple(_actions(random, jobs)) for _ in range(2))
    actions = (one, (*other, *_finish(Random(f"finish {seed}"), jobs)))
    return RoundPlan(seed, database, jobs, faults, actions, executor)


def _faults(random: Random, database: str, executor: str) -> list[Fault]:
    weights = {**_FAULTS, **_OF_DATABASE[database], **_OF_EXECUTOR[executor]}
    found: list[Fault] = []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        (kind,) = random.choices(list(weights), list(weights.values()))
        if kind in _DEATHS and sum(each.kind in _DEATHS for each in found) >= _MAX_DEATHS:
            continue
        if kind.startswith("corrupt") and any(each.kind.startswith("corrupt") for each in found):
            continue
        found.append(
            Fault(kind, _moment_of(random, kind), random.randrange(2), _seconds_of(random, kind))
        )
    return found


def _moment_of(random: Random, kind: str) -> When:
    if kind == "corrupt_version":
        return When("over")
    if kind == "corrupt_weights":
        return When("ended", random.randint(1, 4))
    return _moment(random)


def _moment(random: Random) -> When:
    event = random.choice(("running", "running", "ended", "ended", "saving"))
    count = random.randint(1, 4) if event == "ended" else 0
    return When(event, count, random.choice((0.0, 0.0, round(random.uniform(0.0, 0.4), 2))))


def _seconds_of(random: Random, kind: str) -> float:
    if kind == "clock_jump":
        return random.choice((-3600.0, -2 * LEASE_SECONDS, 1.5 * LEASE_SECONDS, 3600.0))
    if kind == "database_lock" and random.random() < _LONG_LOCK:
        return BUSY_SECONDS + 1
    if kind in ("worker_pause", "postgres_pause", "database_lock"):
        return random.choice((0.5, 1.3 * LEASE_SECONDS))
    return round(random.uniform(0.2, 2.0), 2)


def _actions(random: Random, jobs: tuple[JobPlan, ...]) -> list[Action]:
    found: list[Action] = []
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        job = random.randrange(len(jobs))
        kinds = ["pause", "pause", "enqueue", "predict", "delete_dataset", "cancel", "delete"]
        if jobs[job].strategy in RAISABLE:
            kinds += ["raise", "raise"]
        kind = random.choice(kinds)
        when = When("over") if kind == "raise" and random.random() < 0.5 else _moment(random)
        found.append(Action(kind, job, when))
    return found


def _finish(random: Random, jobs: tuple[JobPlan, ...]) -> list[Action]:
    """Finish a job in one round of eight, by random numbers apart from those of the rest."""
    if random.random() >= 1 / 8:
        return []
    return [Action("finish", random.randrange(len(jobs)), _moment(random))]

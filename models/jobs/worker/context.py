"""The parts that all job runs of a worker share."""

from dataclasses import dataclass

from models.data.library.catalog import DatasetCatalog
from models.executors.executor import Executor
from models.jobs.worker.draining import DrainingTasks
from models.registry.catalog import ModelCatalog
from models.store.artifacts import Artifacts
from models.store.engine import Database


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts of a worker."""

    database: Database
    artifacts: Artifacts
    datasets: DatasetCatalog
    models: ModelCatalog
    executor: Executor
    draining: DrainingTasks  # of its executor
    owner: str
    trial_timeout: float  # seconds

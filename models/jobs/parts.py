"""What every job run of a worker shares."""

from dataclasses import dataclass

from models.data.library.catalog import DatasetCatalog
from models.executors.executor import Executor
from models.jobs.stragglers import Stragglers
from models.registry.catalog import ModelCatalog
from models.store.artifacts import Artifacts
from models.store.engine import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a worker, put together once."""

    database: Database
    artifacts: Artifacts
    datasets: DatasetCatalog
    models: ModelCatalog
    executor: Executor
    stragglers: Stragglers  # of its executor
    owner: str
    trial_timeout: float  # seconds
    forecast_seconds: float  # that a forecast may take; 0 for none
    trial_slots: int  # trials at once where each follows from the results of others

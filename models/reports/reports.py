"""Reports on jobs as the API asks for them.

Matplotlib and scikit-learn are imported where they are used: a process that only predicts never
needs them.
"""

from collections.abc import Sequence

from models.jobs.model import Outcome
from models.jobs.reader import JobReader
from models.registry.catalog.catalog import ModelCatalog
from models.registry.files import VersionFiles
from models.reports.cache import ResultCache, digest_of_trials
from models.reports.comparison import Comparison, compare
from models.reports.importance import Importance, importance_of
from models.reports.job_report import JobReport, read_report


class Reports:
    """Reads jobs, trials and versions; writes nothing. Every method may raise NotFound."""

    def __init__(self, jobs: JobReader, models: ModelCatalog, files: VersionFiles) -> None:
        self._jobs = jobs
        self._models = models
        self._files = files
        self._cache = ResultCache()

    def compare(self, jobs: Sequence[str], *, force: bool = False) -> Comparison:
        """Put jobs side by side; see `models.reports.comparison.compare`."""
        return compare(jobs, self._jobs, self._models, force=force)

    def draw_comparison(self, comparison: Comparison) -> bytes:
        """Draw a comparison as PNG."""
        from models.reports.figures.comparison import draw_comparison

        return draw_comparison(comparison, self._jobs.get(comparison.jobs[0].id))

    def importance(self, job: str) -> Importance:
        """Rank a job's hyperparameters; see `models.reports.importance.importance_of`."""
        return self._rank(self._jobs.outcomes(self._jobs.get(job)))

    def picture(self, job: str) -> bytes:
        """Return the figures of a job in one PNG, whose heading says when they were drawn."""
        from models.reports.picture import draw_picture

        return draw_picture(self._read(job), self._cache)

    def _read(self, job: str) -> JobReport:
        return read_report(self._jobs.get(job), self._jobs, self._models, self._files, self._rank)

    def _rank(self, outcomes: Sequence[Outcome]) -> Importance:
        key = "importance", digest_of_trials(outcomes)
        return self._cache.get(key, lambda: importance_of(outcomes))

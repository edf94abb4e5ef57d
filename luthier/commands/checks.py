"""What `luthier doctor` checks: each function returns what it found, and what to do about it."""

import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.commands.connection import is_luthier
from luthier.commands.own_service import has_data
from luthier.commands.rendering import size

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from models.settings import Settings

_GB = 10**9
_MIN_DISK, _ENOUGH_DISK = 1 * _GB, 5 * _GB
_TRIAL_PROCESS = 1.2 * _GB  # bytes of one with TensorFlow and a small table
_MIN_FILES = 1024
_EXTRAS = {
    "worker": "tuning jobs cannot run on this machine, predictions can",
    "gpu": "trials do not use a GPU",
    "grpc": "`luthier grpc` does not start",
    "ray": "trials cannot run on Ray",
}
_CGROUP_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # it works, and may disappoint
    WRONG = "wrong"  # something does not work


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: State
    found: str
    advice: str = ""  # what to do; empty where nothing is to be done


def run_checks() -> Iterator[Check]:
    """Yield the results of all checks; those that need settings only if these can be read."""
    from models.errors import SettingError
    from models.settings import Settings

    yield python()
    yield from packages()
    try:
        settings = Settings.from_environment()
        _ = settings.address
    except SettingError as error:
        yield Check("settings", State.WRONG, str(error), "Correct or unset the variable.")
        return
    yield Check("settings", State.OK, "every LUTHIER_… variable can be read")
    for check in _CHECKS:
        yield check(settings)


def python() -> Check:
    """Check the version of Python."""
    from packaging.specifiers import SpecifierSet

    found = f"{platform.python_version()} at {sys.executable}"
    try:
        wanted = metadata.metadata("luthier")["Requires-Python"]
    except metadata.PackageNotFoundError:
        return Check("python", State.OK, found)
    if not SpecifierSet(wanted or "").contains(platform.python_version(), prereleases=True):
        return Check("python", State.WRONG, found, f"Install Python {wanted}.")
    return Check("python", State.OK, found)


def packages() -> Iterator[Check]:
    """Check that what Luthier needs is installed in a fitting version; tell of its extras."""
    from packaging.requirements import Requirement

    try:
        version = metadata.version("luthier")
        required = [Requirement(text) for text in metadata.requires("luthier") or ()]
    except metadata.PackageNotFoundError:
        yield Check(
            "packages", State.WARNING, "luthier is not installed as a package", "pip install ."
        )
        return
    troubles = [_trouble(each) for each in required if each.marker is None]
    missing = [trouble for trouble in troubles if trouble]
    if missing:
        yield Check("packages", State.WRONG, "; ".join(missing), "pip install --upgrade luthier")
    else:
        yield Check("packages", State.OK, f"luthier {version} and its {len(troubles)} requirements")
    for extra, lost in _EXTRAS.items():
        wanted = [each for each in required if each.marker and _is_of(each, extra)]
        missing = [trouble for each in wanted if (trouble := _trouble(each))]
        name = f"extra {extra}"
        if missing:
            state = State.WARNING if extra == "worker" else State.OK
            advice = f"pip install 'luthier[{extra}]'" if extra == "worker" else ""
            yield Check(name, state, f"not installed, so {lost}: {'; '.join(missing)}", advice)
        else:
            yield Check(name, State.OK, "installed")


def _is_of(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _trouble(requirement: "Requirement") -> str | None:
    """Return why a requirement is not met; None if it is. Its own extras count as met."""
    name, specifier = requirement.name, requirement.specifier
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    if "and-cuda" in requirement.extras and not _has_cuda_packages():
        return f"{name}[and-cuda] is missing"
    if not specifier.contains(version, prereleases=True):
        return f"{name} {version} is installed, {specifier} is needed"
    return None


def _has_cuda_packages() -> bool:
    return any(
        (found.name or "").lower().startswith("nvidia-cudnn") for found in metadata.distributions()
    )


def address(settings: "Settings") -> Check:
    """Check that the address is free or that Luthier answers at it."""
    from luthier.server import check_bind, check_free
    from models.errors import LuthierError

    host, port = settings.address
    try:
        check_bind(settings)
        check_free(settings)
    except LuthierError as error:
        if is_luthier(f"http://{host}:{port}"):
            return Check("address", State.OK, f"a service answers at http://{settings.bind}")
        advice = "Stop what uses it, or set LUTHIER_BIND to another address, as 127.0.0.1:8010."
        if not _is_taken(host, port):
            advice = "Set LUTHIER_BIND to an address of this machine."
        return Check("address", State.WRONG, str(error), advice)
    return Check("address", State.OK, f"{settings.bind} is free")


def _is_taken(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2.0).close()
    except OSError:
        return False
    return True


def disk(settings: "Settings") -> Check:
    """Check that the data folder can be written, and the free space."""
    folder = Path(settings.data).absolute()
    while not folder.exists():  # `luthier serve` makes it
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Check(
            "disk", State.WRONG, f"{folder} cannot be written", "Set LUTHIER_DATA to a folder."
        )
    places = {str(folder), tempfile.gettempdir()}
    free = {place: shutil.disk_usage(place).free for place in sorted(places)}
    found = ", ".join(f"{size(count)} free at {place}" for place, count in free.items())
    advice = "Free some, run `luthier gc`, or set LUTHIER_DATA and TMPDIR to a larger disk."
    if min(free.values()) < _MIN_DISK:
        return Check("disk", State.WRONG, found, advice)
    if min(free.values()) < _ENOUGH_DISK:
        return Check("disk", State.WARNING, found, advice)
    return Check("disk", State.OK, found)


def database(settings: "Settings") -> Check:
    """Check that the database answers, can be written and has the schema of this version."""
    from models.errors import LuthierError
    from models.store.engine import Database
    from models.store.readiness import database_trouble

    if not settings.database_url and not has_data(settings.data):
        return Check("database", State.OK, "not there yet; `luthier serve` makes it")
    try:
        with closing(Database(settings.resolved_database_url)) as opened:
            trouble = database_trouble(opened)
    except LuthierError as error:
        trouble = str(error)
    if trouble:
        advice = "Run `luthier migrate`." if "migration" in trouble else "See docs/operation.md."
        return Check("database", State.WRONG, trouble, advice)
    kind = "SQLite" if not settings.database_url else settings.database_url.partition(":")[0]
    return Check("database", State.OK, f"{kind} answers and has the newest schema")


def storage(settings: "Settings") -> Check:
    """Check that artifacts can be written and read."""
    from models.errors import LuthierError
    from models.store.artifacts import Artifacts
    from models.store.readiness import artifacts_trouble

    if not settings.artifacts and not Path(settings.resolved_artifacts).exists():
        return Check("storage", State.OK, "not there yet; `luthier serve` makes it")
    try:
        trouble = artifacts_trouble(Artifacts(settings.resolved_artifacts))
    except LuthierError as error:
        trouble = str(error)
    if trouble:
        advice = "Check LUTHIER_ARTIFACTS, the credentials of the storage and the network."
        return Check("storage", State.WRONG, trouble, advice)
    return Check("storage", State.OK, f"{settings.resolved_artifacts} can be written")


def memory(settings: "Settings") -> Check:
    """Check that the trials which run at once have the memory that they take at least."""
    free, limit = _memory()
    if free is None:
        return Check("memory", State.OK, "not known on this system")
    slots = settings.resolved_trial_slots
    needed = slots * _TRIAL_PROCESS
    found = f"{size(free)} free of {size(limit)}; {slots} trials at once take {size(needed)}"
    if free < _TRIAL_PROCESS:
        return Check("memory", State.WRONG, found, "Give it more memory.")
    if free < needed:
        advice = f"Set LUTHIER_TRIAL_SLOTS={max(1, int(free // _TRIAL_PROCESS))}, or give it more."
        return Check("memory", State.WARNING, found, advice)
    return Check("memory", State.OK, found)


def _memory() -> tuple[float | None, float | None]:
    """Return the free bytes, and all, of this machine or of its container."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None, None
    known = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free, total = float(known["MemAvailable"]), float(known["MemTotal"])
    for limit_path, used_path in _CGROUP_LIMITS:
        try:
            limit = float(Path(limit_path).read_text("ascii"))
            used = float(Path(used_path).read_text("ascii"))
        except (OSError, ValueError):  # there is none, or it is `max`
            continue
        if limit < total:
            free, total = min(free, limit - used), limit
    return free, total


def files(_: "Settings") -> Check:
    """Check how many files a process may open: each connection needs some."""
    allowed, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return Check("open files", State.OK, "without a limit")
    if allowed < _MIN_FILES:
        return Check("open files", State.WARNING, f"{allowed} a process", f"ulimit -n {_MIN_FILES}")
    return Check("open files", State.OK, f"{allowed} a process")


def gpu(settings: "Settings") -> Check:
    """Check whether there is a GPU, and whether TensorFlow can use it."""
    names = _gpus()
    if not names:
        if settings.require_gpu:
            advice = "Install its driver, or unset LUTHIER_REQUIRE_GPU."
            return Check("gpu", State.WRONG, "none, and LUTHIER_REQUIRE_GPU is set", advice)
        return Check("gpu", State.OK, "none; trials train on the CPU")
    found = ", ".join(names)
    if not _has_cuda_packages():
        state = State.WRONG if settings.require_gpu else State.WARNING
        text = f"{found}; TensorFlow lacks the CUDA libraries"
        return Check("gpu", state, text, "pip install 'luthier[gpu]'")
    return Check("gpu", State.OK, found)


def _gpus() -> list[str]:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split("\n")[:-1] if listed.returncode == 0 else []


_CHECKS: tuple[Callable[["Settings"], Check], ...] = (
    address,
    disk,
    database,
    storage,
    memory,
    files,
    gpu,
)

"""A short-lived process that does one task, so that only it dies of a task that takes too much.

Task and answer are JSON on its standard input and output. This module imports nothing heavy: the
limit on memory is set before large libraries are loaded.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_SHOWN = 2000  # characters of what a process that died has written

# Memory is asked for as it is needed, and given back, by one thread.
_FRUGAL = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def run_limited(
    module: str,
    task: Mapping[str, Any],
    memory: int,
    seconds: float,
    inherited: Sequence[int] = (),
    folder: str | None = None,
) -> Any:
    """Run a module, which begins with `begin`, in a process of its own; return its answer.

    It may take `memory` bytes, has the file descriptors `inherited`, and works in `folder`. Raises
    MemoryError if it took more memory, TimeoutError if it took more than `seconds`, and
    RuntimeError if it died of something else.
    """
    document = json.dumps({**task, "memory": memory, "parent": os.getpid()}).encode()
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=inherited,
        cwd=folder,
        env={**os.environ, **_FRUGAL, "PYTHONPATH": os.pathsep.join(_search_path())},
    ) as process:
        try:
            answer, told = process.communicate(document, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"It took longer than {seconds:g} seconds.") from None
        finally:
            process.kill()
    try:
        return json.loads(answer)
    except ValueError:
        pass
    if process.returncode < 0 or b"MemoryError" in told or b"bad_alloc" in told:
        raise MemoryError
    shown = told.decode("utf-8", "replace")[-_SHOWN:]
    raise RuntimeError(f"The process {module} ended with {process.returncode}: {shown}")


def begin() -> dict[str, Any] | None:
    """Return the task of this process, whose memory is limited from now on.

    None if nobody waits for its answer.
    """
    task: dict[str, Any] = json.load(sys.stdin)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != task["parent"]:
        return None  # it has died already
    resource.setrlimit(resource.RLIMIT_DATA, (task["memory"], task["memory"]))
    return task


def _search_path() -> list[str]:
    return [os.path.abspath(path) for path in sys.path if path]

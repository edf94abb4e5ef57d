"""What the tests of executors run in other processes; so it imports next to nothing."""

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from models.executors.local import tell

_calls = 0
_prepared: list[int] = []


class Refused(Exception):
    """An error of the task's own."""


def double(number: int) -> int:
    return 2 * number


def process_id(_: None) -> int:
    return os.getpid()


def count_calls(_: None) -> int:
    """How often this process has run this function."""
    global _calls
    _calls += 1
    return _calls


def prepare() -> None:
    _prepared.append(os.getpid())


def prepared(_: None) -> list[int]:
    return _prepared


def refuse(text: str) -> NoReturn:
    raise Refused(text)


def unpicklable(_: None) -> Any:
    return threading.Lock()


def die(_: None) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def leave(status: int) -> NoReturn:
    os._exit(status)


def announce_and_wait(folder: str) -> None:
    """Write the process id to `pid` in `folder` and wait until `go` lies there."""
    path = Path(folder)
    (path / "pid.new").write_text(str(os.getpid()))
    (path / "pid.new").rename(path / "pid")
    while not (path / "go").exists():
        time.sleep(0.01)


def leave_file(path: str) -> None:
    Path(path).touch()


def meet(places: tuple[str, str]) -> None:
    """Put a file at the first place and wait for one at the second."""
    mine, other = map(Path, places)
    mine.touch()
    while not other.exists():
        time.sleep(0.01)


def grow(size: int) -> NoReturn:
    """Fill `size` bytes of memory and keep them."""
    kept = bytearray(size)
    kept[::4096] = b"x" * len(range(0, size, 4096))
    while kept:
        time.sleep(0.01)
    raise AssertionError("nothing kept")


_kept: list[bytearray] = []


def keep(size: int) -> int:
    """Keep `size` more bytes of memory after the task; return the process's id."""
    kept = bytearray(size)
    kept[::4096] = b"x" * len(range(0, size, 4096))
    _kept.append(kept)
    return os.getpid()


def write_and_die(_: None) -> NoReturn:
    """Leave a temporary file behind."""
    tempfile.mkstemp()
    die(None)


def tell_numbers(count: int) -> str:
    for number in range(count):
        tell(number)
    return "told"


def tell_and_refuse(text: str) -> NoReturn:
    tell(text)
    tell(text)
    refuse(text)


def tell_and_die(text: str) -> NoReturn:
    tell(text)
    die(None)


def tell_and_wait(folder: str) -> None:
    """Tell the first report, and the second once `go` lies in `folder`."""
    tell("first")
    announce_and_wait(folder)
    tell("second")


def tell_until_stopped(_: None) -> int:
    """Answer how many reports it took until the answer was to stop."""
    count = 1
    while not tell(count):
        count += 1
        time.sleep(0.001)
    return count


def is_asked_to_stop(_: None) -> bool:
    return tell("hello")


def has_module(name: str) -> bool:
    return name in sys.modules


def use_copies(copies: Path) -> None:
    """Prepare a process of a Ray node."""
    from models.store.artifacts import Artifacts

    Artifacts.copies = copies


COPYING = pickle.dumps(use_copies)


def read_artifact(name: str) -> bytes:
    from models.store.artifacts import Artifacts

    return Artifacts("memory://inputs").read(name)

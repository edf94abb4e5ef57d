"""A wall clock that the harness can move, for Python processes with this folder in PYTHONPATH.

The file that CHAOS_CLOCK names holds one float64: the seconds by which the clock is ahead. The
monotonic clock stays as it is, as when an administrator or NTP sets the time.
"""

import ctypes
import datetime
import gc
import mmap
import os
import struct
import time
from typing import Any

_CLOCK = os.environ.get("CHAOS_CLOCK")


def _install(path: str) -> None:
    with open(path, "rb") as file:
        page = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real_time, real_time_ns, real_now = time.time, time.time_ns, datetime.datetime.now

    def ahead() -> float:
        seconds: float = struct.unpack("d", page)[0]
        return seconds

    def now(kind: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> Any:
        return real_now(tz) + datetime.timedelta(seconds=ahead())

    setattr(time, "time", lambda: real_time() + ahead())  # noqa: B010
    setattr(time, "time_ns", lambda: real_time_ns() + int(ahead() * 1e9))  # noqa: B010
    # A subclass would not do: compiled packages derive types of their own from the real one. What
    # `__dict__` shows read-only is a dict, which CPython has to be told about when it changes.
    (methods,) = gc.get_referents(datetime.datetime.__dict__)
    methods["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


if _CLOCK:
    _install(_CLOCK)

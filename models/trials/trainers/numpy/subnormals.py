"""Arithmetic that takes subnormal numbers for 0, as TensorFlow's does.

Where a loss vanishes, the squares of its gradients fall below float32's smallest normal number,
1.2e-38, and arithmetic with such numbers takes the processor some hundred times as long.
"""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# By machine: where the C library's `fenv_t` keeps the control word of the vector unit, and the
# bits that flush what comes in and what goes out.
_MACHINES = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
_CONTROL = _MACHINES.get(platform.machine()) if sys.platform.startswith("linux") else None
_SIZE = 64  # bytes, more than any `fenv_t` has
_LIBRARY = ctypes.CDLL(None) if _CONTROL is not None else None


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Take them for 0 in this thread until the end of the block; on Linux only."""
    if _CONTROL is None or _LIBRARY is None:
        yield
        return
    place, bits = _CONTROL
    before = ctypes.create_string_buffer(_SIZE)
    _LIBRARY.fegetenv(before)
    flushing = ctypes.create_string_buffer(before.raw, _SIZE)
    control = ctypes.c_uint32.from_buffer(flushing, place)
    control.value |= bits
    _LIBRARY.fesetenv(flushing)
    try:
        yield
    finally:
        _LIBRARY.fesetenv(before)

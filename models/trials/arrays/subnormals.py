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
_CONTROL = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
_SIZE = 64  # bytes, more than any `fenv_t` has


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Take them for 0 in this thread until the end of the block; on Linux only."""
    if not sys.platform.startswith("linux") or platform.machine() not in _CONTROL:
        yield
        return
    library = ctypes.CDLL(None)
    place, bits = _CONTROL[platform.machine()]
    before = ctypes.create_string_buffer(_SIZE)
    library.fegetenv(before)
    flushing = ctypes.create_string_buffer(before.raw, _SIZE)
    control = ctypes.c_uint32.from_buffer(flushing, place)
    control.value |= bits
    library.fesetenv(flushing)
    try:
        yield
    finally:
        library.fesetenv(before)

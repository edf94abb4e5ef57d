"""Calls that an event loop makes must not block: `without_blocking`, and `before_blocking`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_may_block: ContextVar[bool] = ContextVar("may_block", default=True)


class WouldBlock(Exception):
    """What was asked for takes a wait, in a block that may not wait."""


@contextmanager
def without_blocking() -> Iterator[None]:
    """Let `before_blocking` raise WouldBlock in the block, in this thread."""
    token = _may_block.set(False)
    try:
        yield
    finally:
        _may_block.reset(token)


def before_blocking() -> None:
    """Say that the caller is about to wait: for a database, a file, a lock that is held for long.

    Raises WouldBlock in a block `without_blocking`. Nothing may have been changed yet: the same is
    then done again in a thread.
    """
    if not _may_block.get():
        raise WouldBlock

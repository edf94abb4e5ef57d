"""Processes that are forked from one that has imported what they need."""

import atexit
import multiprocessing
import os
import sys
from contextlib import ExitStack
from functools import cache
from multiprocessing.context import BaseContext

from models.folders import owned_folder

_MAX_FOLDER = 107 - len("/listener-12345678")  # bytes; Linux allows 107 for a socket


@cache
def forking(preload: str) -> tuple[BaseContext, *tuple[str, ...]]:
    """Return a context that forks from a process that has imported the module `preload`.

    The present process has one such fork server, so all should name the same module.

    With it comes the folder of that process's socket, which is removed with the present process;
    if this is killed, whoever notices should remove the folder. Where the name of a socket would be
    too long, and where the system is not Linux, the context spawns, and there is no folder.
    """
    if sys.platform != "linux":
        return (multiprocessing.get_context("spawn"),)
    stack = ExitStack()
    folder = str(stack.enter_context(owned_folder("forks")))
    if len(os.fsencode(folder)) > _MAX_FOLDER:
        stack.close()
        return (multiprocessing.get_context("spawn"),)
    atexit.register(stack.close)
    # `multiprocessing` would make a folder that nobody removes after a kill.
    multiprocessing.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context, folder

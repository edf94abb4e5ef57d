"""How the processes of an executor start: forked from one that has imported what they need."""

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
def forking(preload: str | None) -> tuple[BaseContext, tuple[str, ...]]:
    """Return a context that forks from a process that has imported `preload`, and its folders.

    The present process has one such fork server, so all callers should name the same module. The
    folder is that of the server's socket. It is removed when the present process ends; if that is
    killed, whoever notices should remove the folder. Without a module, on other systems than Linux,
    and where the name of the socket would be too long, the context spawns, and there is no folder.
    """
    spawning = multiprocessing.get_context("spawn"), ()
    if preload is None or sys.platform != "linux":
        return spawning
    stack = ExitStack()
    folder = str(stack.enter_context(owned_folder("forks")))
    if len(os.fsencode(folder)) > _MAX_FOLDER:
        stack.close()
        return spawning
    atexit.register(stack.close)
    # `multiprocessing` would make a folder that nobody removes after a kill.
    multiprocessing.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context, (folder,)

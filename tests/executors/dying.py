"""A module that no fork server survives."""

import multiprocessing
import os

if multiprocessing.current_process().name == "MainProcess":
    os._exit(1)

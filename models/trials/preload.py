"""What the process that forks trial processes imports once, for all of them.

`multiprocessing.set_forkserver_preload` takes the name of a module. Nothing here may start a thread
that a fork would miss, as ONNX Runtime does at its import, or use TensorFlow.
"""

import gc
from importlib import import_module

from models.trials.process import import_tensorflow

import_tensorflow()

for name in ("networks.families", "trials.trainers.keras", "trials.trainers.numpy.trainer"):
    import_module(f"models.{name}")

gc.freeze()  # a collection in a forked process would copy every page that holds an object

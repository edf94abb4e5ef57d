"""What the process that forks trial processes imports once, for all of them.

`multiprocessing.set_forkserver_preload` takes the name of a module. Nothing here may start a thread
that a fork would miss, as ONNX Runtime does at its import, or use TensorFlow.
"""

import gc
import logging
from importlib import import_module

from models.trials.process import import_tensorflow

try:
    import_tensorflow()
    for name in ("networks.families", "trials.trainers.keras", "trials.trainers.numpy.trainer"):
        import_module(f"models.{name}")
except Exception:  # a process that is forked meets it again, and tells whoever waits for a trial
    logging.getLogger(__name__).exception("trial processes import by themselves")

gc.freeze()  # a collection in a forked process would copy every page that holds an object

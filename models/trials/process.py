"""Preparation of a trial process.

TensorFlow is imported by the functions here, not with the file: it reads its log level once, at its
import, and the parent of such processes never needs it.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.settings import Settings
from models.telemetry import configure_logging, without_import_noise


def prepare_trials(settings: Settings) -> None:
    """Prepare a new process for trials; the slots of a machine share its cores."""
    configure_logging(settings.log_level, settings.log_format)
    prepare_process(settings.trial_threads, settings)
    warm_up()


def prepare_process(threads: int, settings: Settings | None = None) -> None:
    """Set TensorFlow and NumPy's BLAS up to train in this process on `threads` CPU threads.

    Must be called before TensorFlow does anything; raises RuntimeError otherwise. Only errors are
    logged, operations are deterministic, and a GPU's products are in float32. GPU memory is
    allocated as it is needed, so that several processes can share a GPU; `CUDA_VISIBLE_DEVICES`
    decides which GPUs are visible. The process chooses trainers by `trainer` and `gpu_threshold`
    of `settings`, which are the defaults if left out.
    """
    settings = settings or Settings()
    import_tensorflow()
    import numpy  # noqa: F401  (its BLAS must be loaded to be limited)
    import tensorflow as tf
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads, user_api="blas")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    for device in gpus:
        tf.config.experimental.set_memory_growth(device, True)
    # Products rounded to TensorFloat-32 are wrong by 1e-3.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()

    from models.trials.trainers.choice import TrainerChoice, set_choice

    set_choice(TrainerChoice(settings.trainer, bool(gpus), settings.gpu_threshold))


def import_tensorflow() -> None:
    """Import TensorFlow and Keras, which log only errors."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with without_import_noise(), _hidden("matplotlib"):
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let a package that is not imported yet seem to be missing.

    Keras imports Matplotlib where it finds it, for pictures that no trial draws: a seventh of the
    time that a process takes to start.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # an import of it fails
    try:
        yield
    finally:
        del sys.modules[package]


def may_have_gpu() -> bool:
    """Return whether this machine has the device file of a GPU driver: NVIDIA's, AMD's or WSL's."""
    return any(Path(file).exists() for file in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def visible_gpus() -> list[str]:
    """Return the device name of each GPU that TensorFlow sees, after `prepare_process`."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details
    return [details(device).get("device_name", device.name) for device in found]


def warm_up() -> None:
    """Use each library once, so that imports and compilation delay no trial.

    NumPy's trainer trains a tiny network, which compiles an optimizer. Keras traces each network
    anew, however many were trained before, so it only builds one and passes rows through it.

    The objects in memory by then are frozen: the garbage collection after every trial skips them,
    which would take 0.2 s each time.
    """
    import numpy as np

    from models.data.preparation.tasks import Task
    from models.networks.families import build
    from models.networks.outputs import Outputs
    from models.trials.trainers.base import Run, TrainingData
    from models.trials.trainers.keras import forward, released
    from models.trials.trainers.numpy.trainer import NumpyTrainer

    x, y = np.zeros((4, 1), dtype=np.float32), np.zeros(4, dtype=np.float32)
    data = TrainingData(x, y, x, y, Outputs.of(Task.REGRESSION))
    values = {"num_layers": 1, "units": 1, "batch_size": 2}
    NumpyTrainer().train([Run(0, 0, 0, "mlp", values, epochs=1)], [data])
    with released():
        forward(build("mlp", values, data.inputs, data.outputs, seed=0), x)
    gc.freeze()

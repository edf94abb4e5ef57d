"""How much memory a pack may take on the device that trains it."""

import os
import subprocess

import tensorflow as tf

# Without a GPU a larger pack gains nothing.
CPU_BYTES = 256 * 1024**2
# Of a GPU's free memory: other processes train on it at the same time.
GPU_SHARE = 0.4


def pack_memory() -> int:
    """Bytes that one pack may take, as things stand."""
    if not tf.config.list_physical_devices("GPU"):
        return CPU_BYTES
    free = _unclaimed()
    if free is None:
        return CPU_BYTES
    mine = tf.config.experimental.get_memory_info("GPU:0")
    # The allocator of this process keeps what it once took.
    return int(GPU_SHARE * (free + mine["peak"] - mine["current"]))


def _unclaimed() -> int | None:
    """Bytes of the first visible GPU that no process holds; None where its driver cannot tell."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    if visible:
        command.append(f"--id={visible}")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return int(answer.stdout.split()[0]) * 1024**2
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None

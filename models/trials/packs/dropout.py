"""Dropout whose choices follow from the run alone, whatever else is in its pack.

A generator would give a network other numbers in another pack. Here each number is a hash of where
it is needed: the run and the epoch, the step, the layer, the row, the unit. The hash is
`lowbias32` of Chris Wellons (https://nullprogram.com/blog/2018/07/31/), in whole numbers and so the
same on every device.
"""

import numpy as np
import tensorflow as tf

# Keeps the random numbers of dropout apart from those of the order of rows.
_STREAM = 2
_GOLDEN = 0x9E3779B9  # 2**32 divided by the golden ratio: spreads counted numbers
_ONE_AS_BITS = 0x3F800000  # of a float32 whose fraction is all zeros


def epoch_key(seed: int, epoch: int) -> int:
    """What stands for one epoch of a run, below 2**32."""
    return int(np.random.SeedSequence([seed, epoch, _STREAM]).generate_state(1)[0])


def factors(keys: tf.Tensor, place: tf.Tensor, rates: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """What to multiply a signal by: 0 for a share `rates`, else the number that keeps its mean.

    `keys` (networks,) uint32 of `epoch_key`; `place`, a number of the step and layer; `rates`
    (networks,); `shape` is (networks, rows, units). The choices for the first rows and units do
    not depend on how many there are.
    """
    of_layer = _mix(keys ^ _counted(place))
    of_rows = _mix(of_layer[:, None] ^ _counted(tf.range(shape[1])))
    bits = _mix(of_rows[:, :, None] ^ _counted(tf.range(shape[2])))
    # 23 bits are the fraction of a float32 from 1 up to 2.
    noise = tf.bitcast(_right(bits, 9) | tf.constant(_ONE_AS_BITS, tf.uint32), tf.float32)
    rates = rates[:, None, None]
    return tf.where(noise >= 1.0 + rates, 1.0 / (1.0 - rates), 0.0)


def _counted(number: tf.Tensor) -> tf.Tensor:
    return (tf.cast(number, tf.uint32) + tf.constant(1, tf.uint32)) * tf.constant(
        _GOLDEN, tf.uint32
    )


def _mix(bits: tf.Tensor) -> tf.Tensor:
    bits = (bits ^ _right(bits, 16)) * tf.constant(0x7FEB352D, tf.uint32)
    bits = (bits ^ _right(bits, 15)) * tf.constant(0x846CA68B, tf.uint32)
    return bits ^ _right(bits, 16)


def _right(bits: tf.Tensor, places: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(places, tf.uint32))

"""The arithmetic of a layer for a few rows, compiled by Numba.

A step of so few rows is bound by the memory of the weights. Here each number of the weights and of
the optimizer's states is read and written once a step, and the gradient never leaves the cache.
Inputs that are 0 in every row, as many of a rectified layer's are, cost next to nothing. What is
compiled is so by its first call, which takes half a second: few trainings have use for it.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np

from models.trials.trainers.numpy.loops import GET, PUT, Function

FEW_ROWS = 4
_LEAST_UNITS = 16

# Sums may be taken in any order, which vector instructions need. The rest of "fast math" would do
# away with numbers that are not finite.
_compile: Callable[[Function], Function] = numba.njit(
    error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)

_ZERO = np.float32(0)


def suits(units: int, rows: int) -> bool:
    """Whether this is faster than the products of BLAS for a layer and steps of so many rows."""
    return units >= _LEAST_UNITS and rows <= FEW_ROWS


@_compile
def multiply(affine, inputs, product, spare):  # type: ignore[no-untyped-def]
    """Write `affine.T @ inputs`: (inputs, units), (inputs, rows) -> (units, rows).

    `spare` is memory, (FEW_ROWS, units).
    """
    units, rows = product.shape
    spare_0, spare_1, spare_2, spare_3 = spare[0], spare[1], spare[2], spare[3]
    for unit in range(units):
        spare_0[unit] = spare_1[unit] = spare_2[unit] = spare_3[unit] = _ZERO
    for i in range(len(affine)):
        x_0, x_1, x_2, x_3 = _read(inputs, i)
        if x_0 != _ZERO or x_1 != _ZERO or x_2 != _ZERO or x_3 != _ZERO:
            weights = affine[i]
            for unit in range(units):
                spare_0[unit] += x_0 * weights[unit]
                spare_1[unit] += x_1 * weights[unit]
                spare_2[unit] += x_2 * weights[unit]
                spare_3[unit] += x_3 * weights[unit]
    for row in range(rows):
        for unit in range(units):
            product[unit, row] = spare[row, unit]


@cache
def compile_descent(formula: Function, states: int) -> Function:
    """The step of one layer by the formula of a `models.trials.trainers.numpy.updates.Update`.

    The function takes (source, in_place, affine, inputs, slope, before, skips, moved, spare, l2,
    *states, *numbers). From `slope`, the gradient by the layer's products (units, rows), it writes
    to `before` that by its inputs, and to `affine` the weights of `source` after the step; both are
    the same array if `in_place` says so. `before` has no rows where nobody needs it, and with
    `skips` it is 0 where an input is 0 in every row. `moved`, (inputs,), marks the weights that a
    step has changed; while its input is 0, no optimizer changes a weight that it has not changed
    before, and `affine` has it already. `spare` is memory, (FEW_ROWS, units).
    """
    get, put = GET[states], PUT[states]

    @_compile
    def descend(source, in_place, affine, inputs, slope, before, skips, moved, spare, l2, *others):  # type: ignore[no-untyped-def]
        units = len(slope)
        _transpose(slope, spare)
        slopes_0, slopes_1, slopes_2, slopes_3 = spare[0], spare[1], spare[2], spare[3]
        for i in range(len(affine)):
            weights, of_input = affine[i], get(others, i)
            # The last row is the bias, which has no penalty.
            penalty = l2 if i < len(affine) - 1 else _ZERO
            x_0, x_1, x_2, x_3 = _read(inputs, i)
            sum_0, sum_1, sum_2, sum_3 = _ZERO, _ZERO, _ZERO, _ZERO
            is_on = x_0 != _ZERO or x_1 != _ZERO or x_2 != _ZERO or x_3 != _ZERO or not skips
            moved[i] |= is_on
            if moved[i] and not in_place:
                _copy(source[i], weights)
            if is_on:
                for unit in range(units):
                    weight = weights[unit]
                    slope_0, slope_1 = slopes_0[unit], slopes_1[unit]
                    slope_2, slope_3 = slopes_2[unit], slopes_3[unit]
                    sum_0 += slope_0 * weight
                    sum_1 += slope_1 * weight
                    sum_2 += slope_2 * weight
                    sum_3 += slope_3 * weight
                    gradient = x_0 * slope_0 + x_1 * slope_1 + x_2 * slope_2 + x_3 * slope_3
                    gradient += penalty * weight
                    now = formula(weight, gradient, *get(of_input, unit), *others[states:])
                    weights[unit] = now[0]
                    put(of_input, unit, now)
            elif moved[i]:
                for unit in range(units):
                    weight = weights[unit]
                    now = formula(weight, penalty * weight, *get(of_input, unit), *others[states:])
                    weights[unit] = now[0]
                    put(of_input, unit, now)
            if i < len(before):
                _write(before, i, sum_0, sum_1, sum_2, sum_3)

    return descend


@_compile
def _transpose(slope, slopes):  # type: ignore[no-untyped-def]
    """(units, rows) to (FEW_ROWS, units), 0 in rows that are not there."""
    units, rows = slope.shape
    for row in range(FEW_ROWS):
        for unit in range(units):
            slopes[row, unit] = slope[unit, row] if row < rows else _ZERO


@_compile
def _copy(numbers, target):  # type: ignore[no-untyped-def]
    for i in range(len(numbers)):
        target[i] = numbers[i]


@_compile
def _read(inputs, i):  # type: ignore[no-untyped-def]
    """The numbers of an input in four rows, 0 in those that are not there."""
    rows = inputs.shape[1]
    return (
        inputs[i, 0],
        inputs[i, 1] if rows > 1 else _ZERO,
        inputs[i, 2] if rows > 2 else _ZERO,
        inputs[i, 3] if rows > 3 else _ZERO,
    )


@_compile
def _write(before, i, sum_0, sum_1, sum_2, sum_3):  # type: ignore[no-untyped-def]
    """The opposite of `_read`."""
    rows = before.shape[1]
    before[i, 0] = sum_0
    if rows > 1:
        before[i, 1] = sum_1
    if rows > 2:
        before[i, 2] = sum_2
    if rows > 3:
        before[i, 3] = sum_3

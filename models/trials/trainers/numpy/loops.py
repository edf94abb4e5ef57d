"""Loops over the weights that an optimizer's formula is compiled into, by Numba.

An update is bound by memory: compiled, it reads and writes each number once, where NumPy takes ten
passes. What is compiled is kept in memory only, because Numba's cache on disk is pickled.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba

Function = Callable[..., Any]

# NumPy's rules for a division by zero, which gives infinity; Python's check would cost the
# vector instructions.
compiled: Callable[[Function], Function] = numba.njit(error_model="numpy")


@cache
def compile_update(formula: Function, states: int) -> Function:
    """The update of flat arrays, (weights, gradient, *states, *numbers), by an optimizer's formula.

    `formula` is that of a `models.trials.trainers.numpy.updates.Update` with so many states.
    """
    get, put = GET[states], PUT[states]

    @compiled
    def update(weights, gradient, *others):  # type: ignore[no-untyped-def]
        for i in range(weights.size):
            now = formula(weights[i], gradient[i], *get(others, i), *others[states:])
            weights[i] = now[0]
            put(others, i, now)

    return update


# Numba's tuples have a fixed length each, so there is one function for each number of states.


@compiled
def _get_0(arrays, i):  # type: ignore[no-untyped-def]
    return ()


@compiled
def _get_1(arrays, i):  # type: ignore[no-untyped-def]
    return (arrays[0][i],)


@compiled
def _get_2(arrays, i):  # type: ignore[no-untyped-def]
    return (arrays[0][i], arrays[1][i])


@compiled
def _put_0(arrays, i, now):  # type: ignore[no-untyped-def]
    pass


@compiled
def _put_1(arrays, i, now):  # type: ignore[no-untyped-def]
    arrays[0][i] = now[1]


@compiled
def _put_2(arrays, i, now):  # type: ignore[no-untyped-def]
    arrays[0][i] = now[1]
    arrays[1][i] = now[2]


# By the number of states: (arrays, i) -> what each has there, and (arrays, i, what a formula
# answered), which puts the states there.
GET = (_get_0, _get_1, _get_2)
PUT = (_put_0, _put_1, _put_2)

"""The activations of hidden layers, in NumPy; Keras's definitions with Keras's constants."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.trials.trainers.base import Floats

_SELU_SCALE = np.float32(1.05070098735548049342)
_SELU_FLOOR = np.float32(1.67326324235437728481 * 1.05070098735548049342)
_LEAK = np.float32(0.2)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_NORMAL = np.float32(1 / math.sqrt(2 * math.pi))
# erf(x) = x P(x²) / Q(x²) between -4 and 4, highest power first: Eigen's approximation, which
# TensorFlow uses too. It is exact to float32 and faster than SciPy's.
_ERF_END = np.float32(4)
_ERF_ABOVE = np.array(
    [
        -2.72614225801306e-10,
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    ],
    np.float32,
)
_ERF_BELOW = np.array(
    [
        -1.45660718464996e-05,
        -2.13374055278905e-04,
        -1.68282697438203e-03,
        -7.37332916720468e-03,
        -1.42647390514189e-02,
    ],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Activation:
    """An element-wise function and its derivative; both write to given arrays."""

    # (before, after): writes f(before) to `after`.
    forward: Callable[[Floats, Floats], object]
    # (before, after, gradient, spare): multiplies `gradient` by f'(before); `before` and `spare`
    # may be overwritten. None for a derivative of 1.
    backward: Callable[[Floats, Floats, Floats, Floats], object] | None


def _linear(before: Floats, after: Floats) -> None:
    np.copyto(after, before)


def _relu(before: Floats, after: Floats) -> None:
    np.maximum(before, _ZERO, out=after)


def _relu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.multiply(gradient, np.greater(after, _ZERO), out=gradient)


def _leaky_relu(before: Floats, after: Floats) -> None:
    np.multiply(before, _LEAK, out=after)
    np.maximum(before, after, out=after)


def _leaky_relu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.multiply(np.greater(after, _ZERO), _ONE - _LEAK, out=spare)
    np.add(spare, _LEAK, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _elu(before: Floats, after: Floats) -> None:
    np.minimum(before, _ZERO, out=after)
    np.expm1(after, out=after)
    # One of the two terms is always 0.
    np.add(after, np.maximum(before, _ZERO), out=after)


def _elu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.minimum(after, _ZERO, out=spare)
    np.add(spare, _ONE, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _selu(before: Floats, after: Floats) -> None:
    np.minimum(before, _ZERO, out=after)
    np.expm1(after, out=after)
    np.multiply(after, _SELU_FLOOR, out=after)
    positive = np.maximum(before, _ZERO)
    np.multiply(positive, _SELU_SCALE, out=positive)
    np.add(after, positive, out=after)


def _selu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.minimum(after, _ZERO, out=spare)
    np.add(spare, _SELU_FLOOR, out=spare)
    # Where the output is not negative the slope is the scale, not the floor.
    np.multiply(np.greater_equal(after, _ZERO), _SELU_FLOOR - _SELU_SCALE, out=before)
    np.subtract(spare, before, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _tanh_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.multiply(after, after, out=spare)
    np.subtract(_ONE, spare, out=spare)
    np.multiply(gradient, spare, out=gradient)


def sigmoid(before: Floats, after: Floats) -> None:
    """The logistic function; exp may overflow, which gives its limit, 0."""
    np.negative(before, out=after)
    np.exp(after, out=after)
    np.add(after, _ONE, out=after)
    np.reciprocal(after, out=after)


def _sigmoid_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    np.subtract(_ONE, after, out=spare)
    np.multiply(spare, after, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _softplus(before: Floats, after: Floats) -> None:
    np.absolute(before, out=after)
    np.negative(after, out=after)
    np.exp(after, out=after)
    np.log1p(after, out=after)
    np.add(after, np.maximum(before, _ZERO), out=after)


def _softplus_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    sigmoid(before, spare)
    np.multiply(gradient, spare, out=gradient)


def _silu(before: Floats, after: Floats) -> None:
    sigmoid(before, after)
    np.multiply(after, before, out=after)


def _silu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    sigmoid(before, spare)
    # s + f (1 - s), with f the output and s the logistic function.
    np.subtract(_ONE, spare, out=before)
    np.multiply(before, after, out=before)
    np.add(spare, before, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _mish(before: Floats, after: Floats) -> None:
    _softplus(before, after)
    np.tanh(after, out=after)
    np.multiply(after, before, out=after)


def _mish_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    # t + x s (1 - t²), with s the logistic function and t the tanh of softplus.
    _softplus(before, spare)
    np.tanh(spare, out=spare)
    logistic = np.empty_like(before)
    sigmoid(before, logistic)
    np.multiply(before, logistic, out=before)
    np.multiply(before, _ONE - spare * spare, out=before)
    np.add(spare, before, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _gelu(before: Floats, after: Floats) -> None:
    _normal_share(before, after)
    np.multiply(after, before, out=after)


def _gelu_back(before: Floats, after: Floats, gradient: Floats, spare: Floats) -> None:
    _normal_share(before, spare)
    density = np.exp(before * before * -_HALF)
    np.multiply(density, before, out=density)
    np.multiply(density, _NORMAL, out=density)
    np.add(spare, density, out=spare)
    np.multiply(gradient, spare, out=gradient)


def _normal_share(before: Floats, after: Floats) -> None:
    """The share of a standard normal distribution that lies below: (1 + erf(x / √2)) / 2."""
    x = np.clip(before * _ROOT_HALF, -_ERF_END, _ERF_END)
    square = x * x
    _polynomial(_ERF_ABOVE, square, after)
    np.multiply(after, x, out=after)
    _polynomial(_ERF_BELOW, square, x)
    np.divide(after, x, out=after)
    np.add(after, _ONE, out=after)
    np.multiply(after, _HALF, out=after)


def _polynomial(coefficients: Floats, x: Floats, result: Floats) -> None:
    result.fill(coefficients[0])
    for coefficient in coefficients[1:]:
        np.multiply(result, x, out=result)
        np.add(result, coefficient, out=result)


ACTIVATIONS: Mapping[str, Activation] = {
    "linear": Activation(_linear, None),
    "relu": Activation(_relu, _relu_back),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_back),
    "elu": Activation(_elu, _elu_back),
    "selu": Activation(_selu, _selu_back),
    "tanh": Activation(lambda before, after: np.tanh(before, out=after), _tanh_back),
    "sigmoid": Activation(sigmoid, _sigmoid_back),
    "softplus": Activation(_softplus, _softplus_back),
    "silu": Activation(_silu, _silu_back),
    "mish": Activation(_mish, _mish_back),
    "gelu": Activation(_gelu, _gelu_back),
}

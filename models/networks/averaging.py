"""The network that answers the weighted mean of several, made of Keras's own layers."""

from collections.abc import Sequence

import keras

_FACTOR = "factor_"  # begins the name of the layer that weights a member


def average(networks: Sequence[keras.Model], weights: Sequence[float]) -> keras.Model:
    """Return one network that answers the weighted mean of the outputs of `networks`.

    They take the same inputs and give outputs of one shape. `weights` add up to 1; so the mean of
    probabilities is one again. A single network is returned as it is. Each of several is renamed,
    as the layers of a network have names of their own.
    """
    if len(networks) == 1:
        return networks[0]
    features = keras.Input(networks[0].input_shape[1:], name="features")
    terms = []
    for number, (network, weight) in enumerate(zip(networks, weights, strict=True), 1):
        network.name = f"member_{number}"
        factor = keras.layers.Rescaling(weight, name=f"{_FACTOR}{number}")
        terms.append(factor(network(features)))
    return keras.Model(features, keras.layers.Add(name="mean")(terms), name="ensemble")


def members_of(network: keras.Model) -> list[tuple[keras.Model, float]]:
    """Return the networks of `average`, each with its weight; a plain network is its own member."""
    members = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    if not members:
        return [(network, 1.0)]
    factors = [layer for layer in network.layers if layer.name.startswith(_FACTOR)]
    return [(member, float(factor.scale)) for member, factor in zip(members, factors, strict=True)]

"""The network that answers the weighted mean of several, made of Keras's own layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

_FACTOR = "factor_"  # begins the name of the layer that weights a member


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """One of several networks whose weighted mean is answered."""

    network: keras.Model
    weight: float  # those of all add up to 1, so that the mean of probabilities is one again
    place: int = 0  # of its input among the inputs of all


def average(members: Sequence[Averaged]) -> keras.Model:
    """Return one network that answers the weighted mean of the outputs of its members.

    It has as many inputs as the members have places; members of one place take the same input. A
    single member is returned as it is. Each of several is renamed, as the layers of a network have
    names of their own.
    """
    if len(members) == 1:
        return members[0].network
    shapes = {member.place: member.network.input_shape[1:] for member in members}
    features = [
        keras.Input(shapes[place], name=f"features_{place + 1}" if place else "features")
        for place in sorted(shapes)
    ]
    terms = []
    for number, member in enumerate(members, 1):
        member.network.name = f"member_{number}"
        factor = keras.layers.Rescaling(member.weight, name=f"{_FACTOR}{number}")
        terms.append(factor(member.network(features[member.place])))
    inputs = features if len(features) > 1 else features[0]
    return keras.Model(inputs, keras.layers.Add(name="mean")(terms), name="ensemble")


def members_of(network: keras.Model) -> list[Averaged]:
    """Return the members of `average`; a plain network is its own member."""
    factors = [layer for layer in network.layers if layer.name.startswith(_FACTOR)]
    if not factors:
        return [Averaged(network, 1.0)]
    members = []
    for factor in factors:
        member = network.get_layer(f"member_{factor.name.removeprefix(_FACTOR)}")
        source = member._inbound_nodes[-1].input_tensors[0]
        place = next(i for i, tensor in enumerate(network.inputs) if tensor is source)
        members.append(Averaged(member, float(factor.scale), place))
    return members

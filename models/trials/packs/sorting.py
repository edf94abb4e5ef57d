"""Sort runs into packs by structure and size."""

from collections.abc import Iterable, Sequence
from functools import reduce

from models.trials.packs.layout import Layout
from models.trials.packs.updates import UPDATES
from models.trials.packs.work import Member, Shape

# Networks in one pack: with more, a GPU has long been busy.
MOST_MEMBERS = 256
# Of the weights in a large pack at least one in so many belongs to a network; the rest is padding,
# which costs nothing while a pack has few weights: its products take less than starting them.
MOST_PADDING = 2.0
FEW_WEIGHTS = 2**22

_FLOAT = 4
# Arrays of the weights' size beside the optimizer's states, which exist twice during a step:
# weights before and after, the best ones, gradients in pieces and joined, three in between.
_LIKE_WEIGHTS = 8
# Arrays of the size of a layer's output: forward, backward and in between.
_LIKE_SIGNALS = 8
# Bytes of a row's position and of whether it is real, before and after they are moved.
_ROW = 24


def sort_into_packs(members: Iterable[Member], memory: int) -> list[list[Member]]:
    """Packs of members of the same shape, similar in size, that take about `memory` bytes at most.

    A member that alone takes more has a pack of its own. Members of one size keep their order.
    """
    by_shape: dict[Shape, list[Member]] = {}
    for member in members:
        by_shape.setdefault(member.shape, []).append(member)
    return [pack for group in by_shape.values() for pack in _packs(group, memory)]


def joint_layout(members: Sequence[Member]) -> Layout:
    """The narrowest layout that holds every member of a pack."""
    return reduce(Layout.with_room_for, (member.layout for member in members))


def _packs(group: Sequence[Member], memory: int) -> list[list[Member]]:
    packs: list[list[Member]] = []
    group = sorted(group, key=lambda each: each.layout.size)
    layout, weights = group[0].layout, 0
    for member in group:
        wider = layout.with_room_for(member.layout)
        count, weights = len(packs[-1]) + 1 if packs else 1, weights + member.layout.size
        if not packs or not _is_allowed(member, wider, count, weights, memory):
            packs.append([])
            wider, weights = member.layout, member.layout.size
        packs[-1].append(member)
        layout = wider
    return packs


def _is_allowed(member: Member, layout: Layout, count: int, weights: int, memory: int) -> bool:
    """Whether a pack may be `count` networks padded to `layout`, `weights` of whose are real."""
    padded = count * layout.size
    return (
        count <= MOST_MEMBERS
        and padded <= max(MOST_PADDING * weights, FEW_WEIGHTS)
        and count * _bytes(member, layout) <= memory
    )


def _bytes(member: Member, layout: Layout) -> int:
    """An estimate of the memory that one network of a pack takes while it is trained."""
    states = UPDATES[member.shape.structure.update].states
    numbers = layout.size * (_LIKE_WEIGHTS + 2 * states)
    numbers += member.shape.batch * sum(layout.widths) * _LIKE_SIGNALS
    rows = len(member.data.x_train) + len(member.data.x_validation)
    return numbers * _FLOAT + rows * _ROW

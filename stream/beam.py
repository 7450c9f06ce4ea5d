"""The kernels of the prefix beam search, compiled by numba: a tree of prefixes, and the entries of the beam on it.

Probabilities are natural logarithms in float64. A prefix is a node of the tree; the tree's first node is what has
been committed (at first: nothing). For each entry of the beam two probabilities are kept, of all alignments that end in a
blank and of all that end in the prefix's last gloss (Graves and Jaitly, ICML 2014; Hannun et al., arXiv:1408.2873), and
beside them the best single alignment of each kind, which tells when each gloss began and ended.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

NEVER = -math.inf
BLANK, GLOSS = 0, 1
"""The two kinds of alignment: what they end in."""


class Tree(NamedTuple):
    """Prefixes. Node 0 is the root; a parent's number is below its children's."""

    parent: Ints  # (N,), -1 for the root
    label: Ints  # (N,) the prefix's last gloss, 1..M; the root's is the last committed one, 0 for none
    child: Ints  # (N,) the newest child, -1 for none
    sibling: Ints  # (N,) the next older child of the same parent, -1 for none
    state: Ints  # (N,) of the language model
    fused: Doubles  # (N,) weighted language model and bonuses, summed over the prefix
    slot: Ints  # (N,) place in the beam, -1 for none


class Beam(NamedTuple):
    """Entries of the beam, the best first."""

    node: Ints  # (B,)
    total: Doubles  # (B, 2) of all alignments, by what they end in
    best: Doubles  # (B, 2) of the best alignment, the same
    span: Ints  # (B, 2, 2) first and last step of the last gloss in the best alignment
    record: Ints  # (B, 2) the span of the gloss before, -1 for none


class Records(NamedTuple):
    """Spans of the glosses before the last, as chains: entries of the beam share them."""

    before: Ints  # (R,) -1 for none
    span: Ints  # (R, 2) first and last step


class Arcs(NamedTuple):
    """A language model as an automaton over labels; see `stream.language`."""

    start: Ints  # (S + 1,) of each state's arcs
    label: Ints  # (A,) sorted within a state
    score: Doubles  # (A,) natural logarithm
    to: Ints  # (A,) the state that an arc leads to
    backoff: Doubles  # (S,) natural logarithm
    lower: Ints  # (S,) the state of one gloss less, -1 for that of none
    unknown: float  # natural logarithm of a label that the model does not know


@numba.njit(cache=True)
def step_in(arcs: Arcs, state: int, label: int) -> tuple[float, int]:
    """Natural logarithm of a label's probability after a state's glosses, and the state that follows."""
    total = 0.0
    while state >= 0:
        low, high = arcs.start[state], arcs.start[state + 1]
        while low < high:
            middle = (low + high) // 2
            if arcs.label[middle] < label:
                low = middle + 1
            else:
                high = middle
        if low < arcs.start[state + 1] and arcs.label[low] == label:
            return total + arcs.score[low], arcs.to[low]
        total += arcs.backoff[state]
        state = arcs.lower[state]
    return total + arcs.unknown, 0


@numba.njit(cache=True)
def added(one: float, two: float) -> float:
    """log(exp(one) + exp(two))."""
    high, low = (one, two) if one > two else (two, one)
    if low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@numba.njit(cache=True)
def advance(
    row: NDArray[np.float32], step: int, labels: Ints, tree: Tree, beam: Beam, count: int, next_beam: Beam,
    records: Records, sizes: Ints, arcs: Arcs, weight: float, bonus: float, taken: Ints,
) -> int:  # fmt: skip
    """One step of the search.

    Args:
        row: (M + 1,) log-probabilities, blank first.
        step: its number.
        labels: the glosses to consider, of 1..M.
        tree: gains at most as many nodes as the beam is wide: room must be there.
        beam: the entries before.
        count: how many.
        next_beam: the entries after.
        records: gains at most twice as many as the beam is wide: room must be there.
        sizes: (2,) nodes and records in use.
        arcs: the language model.
        weight: of the language model.
        bonus: for every gloss.
        taken: (B, M + 1), -1 throughout; and so again afterwards.

    Returns:
        How many entries there are after.
    """
    width = len(next_beam.node)
    for entry in range(count):
        parent = tree.parent[beam.node[entry]]
        if parent >= 0 and tree.slot[parent] >= 0:
            taken[tree.slot[parent], tree.label[beam.node[entry]]] = entry

    # what every entry becomes when it stays as it is: a blank, its last gloss again, or its parent's next gloss
    stay = np.empty((count, 2))
    score = np.empty(count * (1 + len(labels)))
    source = np.empty(count * (1 + len(labels)), np.int64)
    gloss = np.empty(count * (1 + len(labels)), np.int64)
    whole = np.empty(count)
    for entry in range(count):
        whole[entry] = added(beam.total[entry, BLANK], beam.total[entry, GLOSS])
    for entry in range(count):
        node = beam.node[entry]
        last = tree.label[node]
        stay[entry, BLANK] = whole[entry] + row[0]
        stay[entry, GLOSS] = beam.total[entry, GLOSS] + row[last] if last > 0 else -np.inf
        parent = tree.parent[node]
        if parent >= 0 and tree.slot[parent] >= 0:
            other = tree.slot[parent]
            origin = beam.total[other, BLANK] if tree.label[parent] == last else whole[other]
            stay[entry, GLOSS] = added(stay[entry, GLOSS], origin + row[last])
        score[entry] = added(stay[entry, BLANK], stay[entry, GLOSS]) + tree.fused[node]
        source[entry], gloss[entry] = entry, 0
    found = count
    for entry in range(count):
        node = beam.node[entry]
        last = tree.label[node]
        for label in labels:
            if taken[entry, label] >= 0:
                continue
            origin = beam.total[entry, BLANK] if label == last else whole[entry]
            if origin == -np.inf or row[label] == -np.inf:
                continue
            extra = bonus
            if weight != 0.0:
                extra += weight * step_in(arcs, tree.state[node], label)[0]
            score[found] = origin + row[label] + tree.fused[node] + extra
            source[found], gloss[found] = entry, label
            found += 1
    for entry in range(count):
        parent = tree.parent[beam.node[entry]]
        if parent >= 0 and tree.slot[parent] >= 0:
            taken[tree.slot[parent], tree.label[beam.node[entry]]] = -1

    order = np.argsort(-score[:found], kind="mergesort")
    kept = 0
    for place in order[:width]:
        if score[place] == -np.inf:
            break
        entry = source[place]
        node = beam.node[entry]
        label = gloss[place]
        if label == 0:
            next_beam.node[kept] = node
            next_beam.total[kept, BLANK], next_beam.total[kept, GLOSS] = (
                stay[entry, BLANK],
                stay[entry, GLOSS],
            )
            _best_again(
                beam,
                entry,
                next_beam,
                kept,
                row[tree.label[node]] if tree.label[node] > 0 else -np.inf,
                row[0],
                step,
            )
            parent = tree.parent[node]
            if parent >= 0 and tree.slot[parent] >= 0:
                _best_extended(
                    tree,
                    beam,
                    tree.slot[parent],
                    tree.label[node],
                    next_beam,
                    kept,
                    row,
                    step,
                    records,
                    sizes,
                )
        else:
            next_beam.node[kept] = _child(tree, node, label, sizes, arcs, weight, bonus)
            next_beam.total[kept, BLANK] = -np.inf
            origin = beam.total[entry, BLANK] if label == tree.label[node] else whole[entry]
            next_beam.total[kept, GLOSS] = origin + row[label]
            next_beam.best[kept, BLANK] = next_beam.best[kept, GLOSS] = -np.inf
            _best_extended(tree, beam, entry, label, next_beam, kept, row, step, records, sizes)
        kept += 1
    for entry in range(count):
        tree.slot[beam.node[entry]] = -1
    for entry in range(kept):
        tree.slot[next_beam.node[entry]] = entry
    return kept


@numba.njit(cache=True)
def _best_again(
    beam: Beam, entry: int, after: Beam, kept: int, again: float, blank: float, step: int
) -> None:
    """The best alignments of an entry that goes on with its last gloss, or with a blank."""
    kind = BLANK if beam.best[entry, BLANK] >= beam.best[entry, GLOSS] else GLOSS
    after.best[kept, BLANK] = beam.best[entry, kind] + blank
    after.span[kept, BLANK] = beam.span[entry, kind]
    after.record[kept, BLANK] = beam.record[entry, kind]
    after.best[kept, GLOSS] = beam.best[entry, GLOSS] + again
    after.span[kept, GLOSS, 0] = beam.span[entry, GLOSS, 0]
    after.span[kept, GLOSS, 1] = step
    after.record[kept, GLOSS] = beam.record[entry, GLOSS]


@numba.njit(cache=True)
def _best_extended(
    tree: Tree, beam: Beam, entry: int, label: int, after: Beam, kept: int, row: NDArray[np.float32], step: int,
    records: Records, sizes: Ints,
) -> None:  # fmt: skip
    """The best alignment of an entry's prefix and one more gloss, where it beats what is known of it."""
    kind = BLANK
    if label != tree.label[beam.node[entry]] and beam.best[entry, GLOSS] > beam.best[entry, BLANK]:
        kind = GLOSS
    found = beam.best[entry, kind] + row[label]
    if found <= after.best[kept, GLOSS] or found == -np.inf:
        return
    after.best[kept, GLOSS] = found
    after.span[kept, GLOSS, 0] = after.span[kept, GLOSS, 1] = step
    if tree.parent[beam.node[entry]] < 0:
        after.record[kept, GLOSS] = -1
        return
    new = sizes[1]
    records.before[new] = beam.record[entry, kind]
    records.span[new] = beam.span[entry, kind]
    after.record[kept, GLOSS] = new
    sizes[1] += 1


@numba.njit(cache=True)
def _child(tree: Tree, node: int, label: int, sizes: Ints, arcs: Arcs, weight: float, bonus: float) -> int:
    """The node of a prefix and one more gloss, made where it is not there yet."""
    child: int = tree.child[node]
    while child >= 0:
        if tree.label[child] == label:
            return child
        child = tree.sibling[child]
    new: int = sizes[0]
    sizes[0] += 1
    score, state = step_in(arcs, tree.state[node], label) if weight != 0.0 else (0.0, 0)
    tree.parent[new], tree.label[new], tree.child[new] = node, label, -1
    tree.sibling[new] = tree.child[node]
    tree.child[node] = new
    tree.state[new] = state
    tree.fused[new] = tree.fused[node] + weight * score + bonus
    tree.slot[new] = -1
    return new


@numba.njit(cache=True)
def depth_of(tree: Tree, node: int) -> int:
    """How many glosses a prefix has beyond the root."""
    depth = 0
    while tree.parent[node] >= 0:
        node = tree.parent[node]
        depth += 1
    return depth


@numba.njit(cache=True)
def read(tree: Tree, beam: Beam, records: Records, entry: int, labels: Ints, spans: Ints) -> None:
    """Write an entry's glosses beyond the root (L,) and the steps (L, 2) of its best alignment."""
    node = beam.node[entry]
    place = len(labels) - 1
    if place < 0:
        return
    kind = BLANK if beam.best[entry, BLANK] >= beam.best[entry, GLOSS] else GLOSS
    labels[place] = tree.label[node]
    spans[place] = beam.span[entry, kind]
    record = beam.record[entry, kind]
    while place > 0:
        place -= 1
        node = tree.parent[node]
        labels[place] = tree.label[node]
        spans[place] = records.span[record]
        record = records.before[record]


@numba.njit(cache=True)
def masses(
    tree: Tree,
    beam: Beam,
    count: int,
    records: Records,
    share: Doubles,
    labels: Ints,
    spans: Ints,
    slack: int,
) -> Doubles:
    """The posterior mass (L,) of each gloss: of all entries that have the same gloss at the same time.

    Args:
        tree: prefixes.
        beam: entries.
        count: how many.
        records: spans.
        share: (count,) posterior of each entry.
        labels: (L,) the glosses to weigh.
        spans: (L, 2) their steps.
        slack: steps that two spans may lie apart and still be at the same time.
    """
    mass = np.zeros(len(labels))
    for entry in range(count):
        length = depth_of(tree, beam.node[entry])
        own = np.empty(length, np.int64)
        times = np.empty((length, 2), np.int64)
        read(tree, beam, records, entry, own, times)
        other = 0
        for place in range(len(labels)):
            while other < length and times[other, 1] + slack < spans[place, 0]:
                other += 1
            near = other
            while near < length and times[near, 0] - slack <= spans[place, 1]:
                if own[near] == labels[place]:
                    mass[place] += share[entry]
                    other = near + 1
                    break
                near += 1
    return mass


@numba.njit(cache=True)
def rooted(tree: Tree, beam: Beam, count: int, records: Records, root: int, sizes: Ints) -> int:
    """Make a node the tree's root: drop entries that do not descend from it, and what nobody needs any more.

    Returns:
        How many entries are left.
    """
    kept = 0
    for entry in range(count):
        node = beam.node[entry]
        while node > root:
            node = tree.parent[node]
        if node == root:
            beam.node[kept], beam.total[kept], beam.best[kept] = (
                beam.node[entry],
                beam.total[entry],
                beam.best[entry],
            )
            beam.span[kept], beam.record[kept] = beam.span[entry], beam.record[entry]
            kept += 1
    needed = np.zeros(sizes[0], np.bool_)
    spans = np.zeros(sizes[1], np.bool_)
    needed[root] = True
    for entry in range(kept):
        depth = 0
        node = beam.node[entry]
        while node > root:
            needed[node] = True
            node = tree.parent[node]
            depth += 1
        for kind in range(2):
            if (
                depth <= 1 or beam.best[entry, kind] == -np.inf
            ):  # no alignment of this kind has a span to keep
                beam.record[entry, kind] = -1
            left, record = depth - 1, beam.record[entry, kind]
            while left > 0 and record >= 0:
                spans[record] = True
                left -= 1
                if left == 0:
                    records.before[record] = -1
                record = records.before[record]
    place = _packed_nodes(tree, needed, root)
    for entry in range(kept):
        beam.node[entry] = place[beam.node[entry]]
        tree.slot[beam.node[entry]] = entry
    number = np.full(len(spans), -1)
    used = 0
    for record in range(len(spans)):
        if spans[record]:
            number[record] = used
            records.span[used] = records.span[record]
            before = records.before[record]
            records.before[used] = number[before] if before >= 0 else -1
            used += 1
    for entry in range(kept):
        for kind in range(2):
            if beam.record[entry, kind] >= 0:
                beam.record[entry, kind] = number[beam.record[entry, kind]]
    sizes[0], sizes[1] = needed.sum(), used
    return kept


@numba.njit(cache=True)
def _packed_nodes(tree: Tree, needed: NDArray[np.bool_], root: int) -> Ints:
    """Move the needed nodes together, in their order; returns each one's new number."""
    place = np.full(len(needed), -1)
    used = 0
    for node in range(len(needed)):
        if needed[node]:
            place[node] = used
            tree.parent[used] = -1 if node == root else place[tree.parent[node]]
            tree.label[used], tree.state[used] = tree.label[node], tree.state[node]
            tree.fused[used] = tree.fused[node]
            tree.child[used] = tree.sibling[used] = tree.slot[used] = -1
            used += 1
    for node in range(1, used):
        tree.sibling[node] = tree.child[tree.parent[node]]
        tree.child[tree.parent[node]] = node
    return place

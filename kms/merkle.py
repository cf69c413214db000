"""RFC 6962 Merkle trees that grow in batches: roots and proofs from the frontier alone, and their verification.

A tree of n leaves is kept as its frontier: the roots of its perfect subtrees, one for each bit of n, largest first. That is
all that is needed to append, and to prove every appended leaf and the old tree itself within the new one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from kms.errors import LogError, MalformedProof, WrongConsistency, WrongInclusion

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return _sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Appended:
    """What a batch did to a tree.

    Attributes:
        frontier: the tree after it.
        root: its root.
        inclusion: one audit path a new leaf, at the new size, bottom-up, 32 bytes a node (RFC 6962 section 2.1.1).
        consistency: proof that the old tree is a prefix of the new one (section 2.1.2); empty when either says nothing.
    """

    frontier: "Frontier"
    root: bytes
    inclusion: Sequence[bytes]
    consistency: bytes


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves by the roots of its perfect subtrees, largest first."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.nodes) != self.size.bit_count() or any(len(node) != HASH_BYTES for node in self.nodes):
            raise LogError(f"a tree of {self.size} leaves has {self.size.bit_count()} frontier nodes of 32 bytes, not these")

    @classmethod
    def of(cls, size: int, joined: bytes) -> "Frontier":
        """The frontier from its nodes one behind the other.

        Raises:
            LogError: the number of bytes does not fit the size.
        """
        return cls(size, tuple(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)))

    def joined(self) -> bytes:
        """The nodes one behind the other, as `LogCheckpoint.frontier` keeps them."""
        return b"".join(self.nodes)

    def root(self) -> bytes:
        """The root hash; of an empty tree SHA-256 of nothing."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root

    def append(self, leaves: Sequence[bytes]) -> Appended:
        """The tree with `leaves` (leaf hashes, 32 bytes each) behind it, with all proofs; about two hashes a leaf."""
        if not leaves:
            return Appended(self, self.root(), (), b"")
        size = self.size + len(leaves)
        levels = self._levels(leaves)
        paths = _paths(levels)
        grown = Frontier(size, tuple(_at(levels, level, (size >> level) - 1) for level in _bits(size)))
        return Appended(grown, levels[-1][1][0], paths[0][self.size - levels[0][0] :], self._consistency(levels, paths))

    def _levels(self, leaves: Sequence[bytes]) -> list[tuple[int, list[bytes]]]:
        """(index of the first node, nodes) of each level: those above new leaves, and the old ones beside them."""
        old = dict(zip(_bits(self.size), self.nodes, strict=True))
        start, nodes = self.size, list(leaves)
        levels: list[tuple[int, list[bytes]]] = []
        while True:
            if start & 1:  # bit `level` of the old size is set: the left neighbour is a frontier node
                start -= 1
                nodes.insert(0, old[len(levels)])
            levels.append((start, nodes))
            if start == 0 and len(nodes) == 1:
                return levels
            above = [_sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=False)]
            if len(nodes) & 1:
                above.append(nodes[-1])  # the rightmost node without a sibling stands for its parent
            start, nodes = start >> 1, above

    def _consistency(self, levels: list[tuple[int, list[bytes]]], paths: list[list[bytes]]) -> bytes:
        if self.size == 0:
            return b""
        level = (self.size & -self.size).bit_length() - 1
        index = (self.size >> level) - 1
        path = paths[level][index - levels[level][0]]
        return path if index == 0 else _at(levels, level, index) + path


def _bits(size: int) -> list[int]:
    return [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]


def _at(levels: list[tuple[int, list[bytes]]], level: int, index: int) -> bytes:
    start, nodes = levels[level]
    return nodes[index - start]


def _paths(levels: list[tuple[int, list[bytes]]]) -> list[list[bytes]]:
    """For every node of every level its audit path up to the root, from the root down: each path extends its parent's."""
    paths: list[list[bytes]] = [[b""]]
    for level in range(len(levels) - 2, -1, -1):
        start, nodes = levels[level]
        above = paths[-1][(start >> 1) - levels[level + 1][0] :]
        here: list[bytes] = []
        for offset, node in enumerate(nodes[1::2]):
            path = above[offset]
            here += (node + path, nodes[2 * offset] + path)
        if len(nodes) & 1:
            here.append(above[-1])
        paths.append(here)
    paths.reverse()
    return paths


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: bytes) -> bytes:
    """The root that an audit path leads to, RFC 9162 section 2.1.3.2.

    Raises:
        MalformedProof: a hash is not 32 bytes, or the path has not the length that (index, size) demands.
        WrongInclusion: there is no leaf of that index.
    """
    if not 0 <= index < size:
        raise WrongInclusion(f"a tree of {size} leaves has no leaf {index}")
    if len(leaf) != HASH_BYTES:
        raise MalformedProof(f"a leaf hash has 32 bytes, not {len(leaf)}")
    node, last, root = index, size - 1, leaf
    for sibling in _split(proof):
        if last == 0:
            raise MalformedProof(f"the inclusion proof of leaf {index} in {size} is too long: {len(proof)} bytes")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise MalformedProof(f"the inclusion proof of leaf {index} in {size} is too short: {len(proof)} bytes")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: bytes, root: bytes) -> None:
    """Checks that `leaf` (a leaf hash) is leaf `index` of the tree of `size` leaves under `root`.

    Raises:
        MalformedProof: a hash is not 32 bytes, or the proof has not the length that (index, size) demands.
        WrongInclusion: it leads to another root.
    """
    if len(root) != HASH_BYTES:
        raise MalformedProof(f"a root hash has 32 bytes, not {len(root)}")
    found = root_of_inclusion(leaf, index, size, proof)
    if found != root:
        raise WrongInclusion(f"leaf {index} leads to the root {found.hex()} at size {size}, the checkpoint says {root.hex()}")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: bytes) -> None:
    """Checks that the tree under `old_root` is a prefix of the tree under `root`, RFC 9162 section 2.1.4.2.

    Raises:
        MalformedProof: a hash is not 32 bytes, or the proof has not the length that the sizes demand.
        WrongConsistency: the tree shrank, or the proof leads to other roots.
    """
    if len(old_root) != HASH_BYTES or len(root) != HASH_BYTES:
        raise MalformedProof("a root hash has 32 bytes")
    if old_size > size:
        raise WrongConsistency(f"the log shrank from {old_size} to {size} leaves")
    if old_size in (0, size):
        if proof:
            raise MalformedProof(f"a consistency proof from {old_size} to {size} is empty, not {len(proof)} bytes")
        if old_root != (EMPTY_ROOT if old_size == 0 else root):
            raise WrongConsistency(f"two roots for one tree of {old_size} leaves: {old_root.hex()} and {root.hex()}")
        return
    old_found, found = _roots_of_consistency(old_size, old_root, size, _split(proof))
    if old_found != old_root or found != root:
        raise WrongConsistency(f"the tree of {old_size} leaves is no prefix of the tree of {size}: the proof leads to other roots")


def _roots_of_consistency(old_size: int, old_root: bytes, size: int, path: list[bytes]) -> tuple[bytes, bytes]:
    if old_size & (old_size - 1) == 0:
        path = [old_root, *path]
    if not path:
        raise MalformedProof(f"the consistency proof from {old_size} to {size} is empty")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_found = found = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MalformedProof(f"the consistency proof from {old_size} to {size} is too long")
        if node & 1 or node == last:
            old_found, found = node_hash(sibling, old_found), node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise MalformedProof(f"the consistency proof from {old_size} to {size} is too short")
    return old_found, found


def _split(proof: bytes) -> list[bytes]:
    if len(proof) % HASH_BYTES:
        raise MalformedProof(f"a proof is a whole number of 32-byte hashes, not {len(proof)} bytes")
    return [proof[at : at + HASH_BYTES] for at in range(0, len(proof), HASH_BYTES)]

"""The tree against RFC 6962's own recursive definition, its published roots, and every kind of damage to a proof."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis.strategies import DrawFn, binary, composite, integers, lists

from kms.errors import LogError, MalformedProof, VerificationError, WrongConsistency, WrongInclusion
from kms.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root_of_inclusion, verify_consistency, verify_inclusion

# The eight leaves of the RFC 6962 reference implementation's tests (certificate-transparency, now transparency-dev/merkle).
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree_hash(leaves):
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def audit_path(index, leaves):
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = largest_power_below(len(leaves))
    if index < split:
        return [*audit_path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*audit_path(index - split, leaves[split:]), tree_hash(leaves[:split])]


def consistency(old, leaves, complete=True):
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if old == len(leaves):
        return [] if complete else [tree_hash(leaves)]
    split = largest_power_below(len(leaves))
    if old <= split:
        return [*consistency(old, leaves[:split], complete), tree_hash(leaves[split:])]
    return [*consistency(old - split, leaves[split:], False), tree_hash(leaves[:split])]


def largest_power_below(count):
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def hashes(count, salt=0):
    return [leaf_hash(b"%d/%d" % (salt, number)) for number in range(count)]


@composite
def batches(draw: DrawFn):
    return hashes(draw(integers(0, 70))), hashes(draw(integers(1, 70)), salt=1)


def test_the_published_roots_of_the_eight_leaves():
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier = frontier.append([leaf_hash(leaf)]).frontier
        assert frontier.root().hex() == root
    assert Frontier().append([leaf_hash(leaf) for leaf in LEAVES]).root.hex() == ROOTS[-1]


@given(batches())
@settings(max_examples=150, deadline=None)
def test_a_batch_gives_the_roots_and_proofs_of_the_definition(batch):
    old, new = batch
    before = Frontier().append(old).frontier
    grown = before.append(new)
    whole = old + new
    assert before.root() == tree_hash(old)
    assert grown.root == grown.frontier.root() == tree_hash(whole)
    assert grown.frontier == Frontier().append(whole).frontier
    assert list(grown.inclusion) == [b"".join(audit_path(len(old) + at, whole)) for at in range(len(new))]
    assert grown.consistency == (b"".join(consistency(len(old), whole)) if old else b"")
    for at, leaf in enumerate(new):
        verify_inclusion(leaf, len(old) + at, len(whole), grown.inclusion[at], grown.root)
    verify_consistency(len(old), before.root(), len(whole), grown.root, grown.consistency)


def test_small_trees_exhaustively():
    for size in range(1, 34):
        leaves = hashes(size)
        for old in range(size):
            grown = Frontier().append(leaves[:old]).frontier.append(leaves[old:])
            assert grown.root == tree_hash(leaves)
            assert grown.consistency == (b"".join(consistency(old, leaves)) if old else b"")


@given(batches(), integers(0), integers(0))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_anywhere_in_a_proof_is_refused(batch, pick, bit):
    old, new = batch
    grown = Frontier().append(old).frontier.append(new)
    size, at = len(old) + len(new), pick % len(new)
    proof = grown.inclusion[at]
    if proof:
        with pytest.raises(WrongInclusion):
            verify_inclusion(new[at], len(old) + at, size, flip(proof, bit), grown.root)
    with pytest.raises(WrongInclusion):
        verify_inclusion(flip(new[at], bit), len(old) + at, size, proof, grown.root)
    with pytest.raises(WrongInclusion):
        verify_inclusion(new[at], len(old) + at, size, proof, flip(grown.root, bit))
    if grown.consistency:
        with pytest.raises(WrongConsistency):
            verify_consistency(len(old), tree_hash(old), size, grown.root, flip(grown.consistency, bit))
    with pytest.raises(VerificationError):
        verify_consistency(len(old), flip(tree_hash(old), bit), size, grown.root, grown.consistency)


@given(batches(), integers(0), integers(-40, 40))
@settings(max_examples=200, deadline=None)
def test_a_proof_serves_no_other_index(batch, pick, shift):
    old, new = batch
    grown = Frontier().append(old).frontier.append(new)
    size, at = len(old) + len(new), pick % len(new)
    if shift:
        with pytest.raises(VerificationError):
            verify_inclusion(new[at], len(old) + at + shift, size, grown.inclusion[at], grown.root)


@given(lists(binary(max_size=64), max_size=12).map(b"".join))
@settings(deadline=None)
def test_random_bytes_are_no_proof(proof):
    leaves = hashes(37)
    root = tree_hash(leaves)
    with pytest.raises(VerificationError):
        verify_inclusion(leaves[5], 5, 37, proof, root)
    with pytest.raises(VerificationError):
        verify_consistency(21, tree_hash(leaves[:21]), 37, root, proof)


@pytest.mark.parametrize(("leaf", "root"), [(b"", b""), (b"\0" * 31, b"\0" * 31), (b"\0" * 33, b"\0" * 33), (b"", b"\0" * 32)])
def test_hashes_of_another_length_are_refused_even_where_they_agree(leaf, root):
    with pytest.raises(MalformedProof):
        verify_inclusion(leaf, 0, 1, b"", root)
    with pytest.raises(MalformedProof):
        verify_consistency(1, root[:31], 1, root[:31], b"")


def test_a_path_too_long_or_too_short_is_refused():
    leaves = hashes(9)
    proof = b"".join(audit_path(3, leaves))
    for wrong in (proof[:-32], proof + bytes(32), proof[:-1], b""):
        with pytest.raises(MalformedProof):
            root_of_inclusion(leaves[3], 3, 9, wrong)
    proof = b"".join(consistency(5, leaves))
    for wrong in (proof[:-32], proof + bytes(32), proof[:-1], b""):
        with pytest.raises(MalformedProof):
            verify_consistency(5, tree_hash(leaves[:5]), 9, tree_hash(leaves), wrong)
    with pytest.raises(WrongInclusion, match="no leaf 9"):
        root_of_inclusion(leaves[3], 9, 9, proof)


def test_a_log_that_shrinks_or_changes_its_root_is_refused():
    with pytest.raises(WrongConsistency, match="shrank from 3 to 2"):
        verify_consistency(3, tree_hash(hashes(3)), 2, tree_hash(hashes(2)), b"")
    with pytest.raises(WrongConsistency, match="two roots"):
        verify_consistency(3, tree_hash(hashes(3)), 3, tree_hash(hashes(3, salt=1)), b"")
    with pytest.raises(MalformedProof):
        verify_consistency(3, tree_hash(hashes(3)), 3, tree_hash(hashes(3)), bytes(32))


def test_a_frontier_comes_back_from_its_bytes_and_from_no_others():
    frontier = Frontier().append(hashes(11)).frontier
    assert Frontier.of(11, frontier.joined()) == frontier
    assert len(frontier.joined()) == 3 * 32
    for size, joined in ((12, frontier.joined()), (11, frontier.joined()[:-1]), (11, b""), (0, bytes(32))):
        with pytest.raises(LogError):
            Frontier.of(size, joined)


def test_node_and_leaf_hashes_are_kept_apart():
    left, right = hashes(2)
    assert node_hash(left, right) != leaf_hash(left + right)


def flip(data, bit):
    at = bit % (8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]

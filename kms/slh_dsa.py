"""SLH-DSA verification (FIPS 205), all 12 sets, in Python over hashlib: a second opinion that shares no code with the first.

Written from the standard to be read beside it; names are its own where they help. It verifies only, in tens of milliseconds, and
knows no secret, so nothing here need be constant in time.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_W_BITS, _W = 4, 16
_CHECKSUM_DIGITS = 3  # len_2, equation 5.4, of every set

_WOTS_HASH, _WOTS_PK, _TREE, _FORS_TREE, _FORS_ROOTS = range(5)
"""Types of addresses, table 1."""

Hash = Callable[[bytes, bytes, bytes], bytes]
"""(public seed, address, message) -> n bytes: F, H and T of section 11."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A parameter set, table 2.

    Attributes:
        n: bytes of a hash.
        height: of the hypertree, h.
        layers: of it, d.
        fors_height: a.
        fors_trees: k.
        shake: SHAKE256 (section 11.1); otherwise SHA-2 (section 11.2).
    """

    n: int
    height: int
    layers: int
    fors_height: int
    fors_trees: int
    shake: bool

    @property
    def tree_height(self) -> int:
        """Of one XMSS tree, h'."""
        return self.height // self.layers

    @property
    def digits(self) -> int:
        """Chains of a WOTS+ key, len."""
        return 2 * self.n + _CHECKSUM_DIGITS

    @property
    def signature_bytes(self) -> int:
        """Figure 17."""
        return (1 + self.fors_trees * (1 + self.fors_height) + self.height + self.layers * self.digits) * self.n


_SHAPES = {
    "128s": (16, 63, 7, 12, 14),
    "128f": (16, 66, 22, 6, 33),
    "192s": (24, 63, 7, 14, 17),
    "192f": (24, 66, 22, 8, 33),
    "256s": (32, 64, 8, 14, 22),
    "256f": (32, 68, 17, 9, 35),
}
SETS: Mapping[str, Parameters] = MappingProxyType(
    {
        f"SLH-DSA-{hashed}-{size}": Parameters(*shape, shake=hashed == "SHAKE")
        for hashed in ("SHA2", "SHAKE")
        for size, shape in _SHAPES.items()
    }
)


def accepts(name: str, public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether a pure signature with an empty context verifies (algorithm 24).

    Args:
        name: of `SETS`.
        public: the raw public key, PK.seed || PK.root.
        signature: of any length; another than the set's is refused.
        data: what was signed.
    """
    return accepts_internal(name, public, signature, b"\0\0" + data)


def accepts_internal(name: str, public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature verifies over the message as it is hashed, context and all (algorithm 20); arguments as `accepts`."""
    given = SETS[name]
    if len(public) != 2 * given.n or len(signature) != given.signature_bytes:
        return False
    return _Verifier(given, public[: given.n]).root(signature, public, message) == public[given.n :]


class _Verifier:
    """The hash functions of a set under a public seed, and what is computed with them."""

    def __init__(self, given: Parameters, seed: bytes) -> None:
        self._given, self._seed = given, seed
        self._f, self._h, self._digest = (_shake if given.shake else _sha2)(given.n)

    def root(self, signature: bytes, public: bytes, message: bytes) -> bytes:
        """The root of the hypertree that the signature leads to."""
        given, n = self._given, self._given.n
        fors_bytes = -(-given.fors_trees * given.fors_height // 8)
        tree_bits, leaf_bits = given.height - given.tree_height, given.tree_height
        tree_bytes, leaf_bytes = -(-tree_bits // 8), -(-leaf_bits // 8)
        digest = self._digest(signature[:n], public, message, fors_bytes + tree_bytes + leaf_bytes)
        rest = digest[fors_bytes:]
        tree = int.from_bytes(rest[:tree_bytes], "big") % (1 << tree_bits)
        leaf = int.from_bytes(rest[tree_bytes:], "big") % (1 << leaf_bits)
        fors_end = n + given.fors_trees * (1 + given.fors_height) * n
        node = self._fors(signature[n:fors_end], digest[:fors_bytes], tree, leaf)
        for layer, part in enumerate(_pieces(signature[fors_end:], (given.digits + given.tree_height) * n)):  # algorithm 13
            node = self._xmss(part, node, layer, tree, leaf)
            tree, leaf = tree >> leaf_bits, tree % (1 << leaf_bits)
        return node

    def _fors(self, signature: bytes, digest: bytes, tree: int, leaf: int) -> bytes:
        """Algorithm 17: the FORS public key."""
        given, roots = self._given, []
        indices = _digits(digest, given.fors_height, given.fors_trees)
        for number, part in enumerate(_pieces(signature, (1 + given.fors_height) * given.n)):
            place = (number << given.fors_height) + indices[number]
            node = self._f(self._seed, _address(0, tree, _FORS_TREE, leaf, 0, place), part[: given.n])
            roots.append(self._climb(node, part[given.n :], place, lambda z, at: _address(0, tree, _FORS_TREE, leaf, z, at)))
        return self._h(self._seed, _address(0, tree, _FORS_ROOTS, leaf, 0, 0), b"".join(roots))

    def _xmss(self, signature: bytes, message: bytes, layer: int, tree: int, leaf: int) -> bytes:
        """Algorithm 11: the root of an XMSS tree."""
        chains = self._given.digits * self._given.n
        node = self._wots(signature[:chains], message, layer, tree, leaf)
        return self._climb(node, signature[chains:], leaf, lambda z, at: _address(layer, tree, _TREE, 0, z, at))

    def _wots(self, signature: bytes, message: bytes, layer: int, tree: int, leaf: int) -> bytes:
        """Algorithm 8: the WOTS+ public key."""
        digits = _digits(message, _W_BITS, 2 * self._given.n)
        checksum = sum(_W - 1 - digit for digit in digits) << 4
        digits += _digits(checksum.to_bytes(2, "big"), _W_BITS, _CHECKSUM_DIGITS)
        ends = []
        for chain, node in enumerate(_pieces(signature, self._given.n)):
            for step in range(digits[chain], _W - 1):  # algorithm 5
                node = self._f(self._seed, _address(layer, tree, _WOTS_HASH, leaf, chain, step), node)  # noqa: PLW2901
            ends.append(node)
        return self._h(self._seed, _address(layer, tree, _WOTS_PK, leaf, 0, 0), b"".join(ends))

    def _climb(self, node: bytes, path: bytes, index: int, address: Callable[[int, int], bytes]) -> bytes:
        """From a leaf to the root of its tree, along the authentication path."""
        for height, sibling in enumerate(_pieces(path, self._given.n), 1):
            pair = sibling + node if index & 1 else node + sibling
            index >>= 1
            node = self._h(self._seed, address(height, index), pair)
        return node


def _shake(n: int) -> tuple[Hash, Hash, Callable[[bytes, bytes, bytes, int], bytes]]:
    """Section 11.1."""

    def tweaked(seed: bytes, address: bytes, message: bytes) -> bytes:
        return hashlib.shake_256(seed + address + message).digest(n)

    def digest(random: bytes, public: bytes, message: bytes, size: int) -> bytes:
        return hashlib.shake_256(random + public + message).digest(size)

    return tweaked, tweaked, digest


def _sha2(n: int) -> tuple[Hash, Hash, Callable[[bytes, bytes, bytes, int], bytes]]:
    """Section 11.2: SHA-256 throughout in category 1, SHA-512 for all but F above it."""
    wide = hashlib.sha256 if n == 16 else hashlib.sha512
    block = wide().block_size

    def f(seed: bytes, address: bytes, message: bytes) -> bytes:
        return hashlib.sha256(seed + bytes(64 - n) + _compressed(address) + message).digest()[:n]

    def h(seed: bytes, address: bytes, message: bytes) -> bytes:
        return wide(seed + bytes(block - n) + _compressed(address) + message).digest()[:n]

    def digest(random: bytes, public: bytes, message: bytes, size: int) -> bytes:
        start = random + public[:n] + wide(random + public + message).digest()
        return b"".join(wide(start + counter.to_bytes(4, "big")).digest() for counter in range(2))[:size]  # MGF1, RFC 8017 B.2.1

    return f, h, digest


def _address(layer: int, tree: int, kind: int, *words: int) -> bytes:
    """Figures 2 to 9: the last three words have other names in each type."""
    fields = (layer, 4), (tree, 12), (kind, 4), *((word, 4) for word in words)
    return b"".join(value.to_bytes(size, "big") for value, size in fields)


def _compressed(address: bytes) -> bytes:
    """Figure 18."""
    return address[3:4] + address[8:16] + address[19:32]


def _digits(content: bytes, bits: int, count: int) -> list[int]:
    """Algorithm 4: the first `count` digits of `bits` bits."""
    number, size = int.from_bytes(content, "big"), 8 * len(content)
    return [number >> (size - bits * (at + 1)) & ((1 << bits) - 1) for at in range(count)]


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))

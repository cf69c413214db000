"""Key exchange groups of TLS: their numbers on the wire, and which of them withstand a quantum computer."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the IANA registry "TLS Supported Groups".

    Attributes:
        code: its number.
        post_quantum: True when ML-KEM is in it, alone or beside a curve.
        standard: where it is specified.
    """

    code: int
    post_quantum: bool
    standard: str


GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "secp256r1": Group(0x0017, False, "RFC 8446"),
        "secp384r1": Group(0x0018, False, "RFC 8446"),
        "secp521r1": Group(0x0019, False, "RFC 8446"),
        "x25519": Group(0x001D, False, "RFC 8446"),
        "x448": Group(0x001E, False, "RFC 8446"),
        "MLKEM512": Group(0x0200, True, "FIPS 203"),
        "MLKEM768": Group(0x0201, True, "FIPS 203"),
        "MLKEM1024": Group(0x0202, True, "FIPS 203"),
        "SecP256r1MLKEM768": Group(0x11EB, True, "RFC 10024"),
        "X25519MLKEM768": Group(0x11EC, True, "RFC 10024"),
        "SecP384r1MLKEM1024": Group(0x11ED, True, "RFC 10024"),
    }
)
_BY_CODE = {group.code: name for name, group in GROUPS.items()}
_BY_LOWER = {name.lower(): name for name in GROUPS} | {"prime256v1": "secp256r1"}


def of_code(code: int) -> str:
    """The name of a number; the number itself, in hexadecimal, where it has none here."""
    return _BY_CODE.get(code, f"0x{code:04x}")


def of_name(name: str) -> str:
    """The name as the table writes it, whatever case a library writes it in."""
    return _BY_LOWER.get(name.lower(), name)


def post_quantum(name: str) -> bool:
    """Whether a group withstands a quantum computer; one that is not in the table is not believed to."""
    return name in GROUPS and GROUPS[name].post_quantum

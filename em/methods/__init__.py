"""The mitigation methods, by name.

| name | readout | gates |
|---|---|---|
| `raw` | as it comes | as they come |
| `readout` | tensored confusion matrices, inverted | as they come |
| `trex` | twirled, divided by its effect on 0...0 | as they come |
| `zne-linear`, `zne-richardson`, `zne-exponential` | as it comes | folded 1, 3, 5 times, extrapolated to none |
| `readout-zne-*`, `trex-zne-*` | as `readout` or `trex` at every scale | as `zne-*` |
"""

from collections.abc import Mapping
from types import MappingProxyType

from em.methods.method import Cost, Estimate, Method, Workload
from em.methods.mitigated import Mitigated
from em.methods.raw import RawReader
from em.methods.readout import ReadoutReader
from em.methods.trex import TwirledReader
from em.methods.zne import EXTRAPOLATIONS

_ALL: tuple[Method, ...] = tuple(
    Mitigated(reader, extrapolation)
    for extrapolation in (None, *EXTRAPOLATIONS)
    for reader in (RawReader(), ReadoutReader(), TwirledReader())
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})

__all__ = ["METHODS", "Cost", "Estimate", "Method", "Workload"]

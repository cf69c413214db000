"""The mitigation methods, by name: how it is read, what is done to the circuits, how gate noise is extrapolated to none.

| part of the name | what it does |
|---|---|
| `raw` | nothing |
| `readout`, `correlated` | confusion matrices of single qubits, or of small groups, inverted |
| `trex` | readout twirled, divided by its effect on 0...0 |
| `twirl`, `dd` | Pauli-twirled two-qubit gates; pulses in idle times |
| `pec` | errors cancelled by their inverse, a signed mixture of Paulis |
| `zne-*` | noise folded up (parameters `scale_factors` and `fold`), extrapolated to none by the rest of the name |
| `cdr`, `vncdr` | a fit to near-Clifford circuits, at one noise scale or at several |
| `vd` | two copies, read as one purer copy |
| `ml-qem` | a random forest corrects a physical estimate from two noise scales; `-linear` and `-boosting` are its controls |

All but the last four are parts: `Mitigated(reader, extrapolation, treatments)` puts any of them together. The table holds the
combinations that are worth it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from em.learned.model import REGRESSORS
from em.methods.correlated import CorrelatedReader
from em.methods.distillation import VirtualDistillation
from em.methods.learned import Learned
from em.methods.method import Cost, Estimate, Method, Workload
from em.methods.mitigated import Mitigated
from em.methods.raw import RawReader
from em.methods.readout import ReadoutReader
from em.methods.regression import CliffordRegression
from em.methods.treatments import Decoupling, ErrorCancellation, Twirl
from em.methods.trex import TwirledReader
from em.methods.zne import EXTRAPOLATIONS

_RAW, _READOUT, _TREX, _CORRELATED = RawReader(), ReadoutReader(), TwirledReader(), CorrelatedReader()
_TWIRL, _DECOUPLING, _PEC = Twirl(), Decoupling(), ErrorCancellation()

_ALL: tuple[Method, ...] = (
    *(Mitigated(reader, extrapolation) for extrapolation in (None, *EXTRAPOLATIONS) for reader in (_RAW, _READOUT, _TREX)),
    Mitigated(_CORRELATED),
    Mitigated(_CORRELATED, "exponential"),
    Mitigated(_RAW, None, (_TWIRL,)),
    Mitigated(_READOUT, None, (_TWIRL,)),
    Mitigated(_READOUT, "linear", (_TWIRL,)),
    Mitigated(_READOUT, "exponential", (_TWIRL,)),
    Mitigated(_READOUT, "adaptive", (_TWIRL,)),
    Mitigated(_RAW, None, (_DECOUPLING,)),
    Mitigated(_READOUT, None, (_DECOUPLING,)),
    Mitigated(_RAW, None, (_PEC,)),
    Mitigated(_READOUT, None, (_PEC,)),
    CliffordRegression(),
    CliffordRegression(variable=True),
    VirtualDistillation(),
    *(Learned(regressor) for regressor in REGRESSORS),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})

__all__ = ["METHODS", "Cost", "Estimate", "Method", "Workload"]

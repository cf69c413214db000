"""A barrier keeps a compiler from cancelling what it separates; without one it does cancel."""

import pytest
from qasm_sources import HEADER

from backends import aer
from backends.device import Device


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_barrier_is_respected(level: int) -> None:
    device = Device(aer.snapshot("aer_noisy"))
    counts = [
        [
            step.name
            for step in device.compile(f"{HEADER}qubit[2] q;\ncx q[0], q[1];\n{between}cx q[0], q[1];\n", 0, level).operations
        ]
        for between in ("barrier q[0], q[1];\n", "")
    ]
    assert counts == [["cx", "cx"], []]

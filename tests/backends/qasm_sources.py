"""OpenQASM 3 sources for tests of the backends."""

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def ghz(qubits: int) -> str:
    return f"{HEADER}qubit[{qubits}] q;\nh q[0];\n" + "".join(f"cx q[{i}], q[{i + 1}];\n" for i in range(qubits - 1))


def ising(qubits: int, steps: int) -> str:
    pairs = "".join(f"cx q[{i}], q[{i + 1}];\nrz(0.3) q[{i + 1}];\ncx q[{i}], q[{i + 1}];\n" for i in range(qubits - 1))
    return f"{HEADER}qubit[{qubits}] q;\n" + (pairs + "rx(0.5) q;\nt q[0];\n") * steps

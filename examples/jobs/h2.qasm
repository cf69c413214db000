// the ground state of h2.json's Hamiltonian: the angle is the minimum of the energy, found by a classical optimiser
OPENQASM 3.0;
include "stdgates.inc";

qubit[2] q;

ry(-2.91805566) q[0];
x q[1];
cx q[0], q[1];

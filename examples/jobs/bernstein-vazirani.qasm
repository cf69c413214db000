// reads the hidden string 1011 (qubit 3 first) in one query
OPENQASM 3.0;
include "stdgates.inc";

qubit[5] q;
bit[4] c;

x q[4];
h q;
cx q[0], q[4];
cx q[1], q[4];
cx q[3], q[4];
h q[0];
h q[1];
h q[2];
h q[3];
c[0] = measure q[0];
c[1] = measure q[1];
c[2] = measure q[2];
c[3] = measure q[3];

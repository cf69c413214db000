// QAOA with two layers on the graph 0-1 1-2 2-3 3-4 4-0 0-2; angles from a classical optimisation of the exact expectation
OPENQASM 3.0;
include "stdgates.inc";

gate rzz(theta) a, b {
  cx a, b;
  rz(theta) b;
  cx a, b;
}

qubit[5] q;

h q[0];
h q[1];
h q[2];
h q[3];
h q[4];
rzz(0.58509168) q[0], q[1];
rzz(0.58509168) q[1], q[2];
rzz(0.58509168) q[2], q[3];
rzz(0.58509168) q[3], q[4];
rzz(0.58509168) q[4], q[0];
rzz(0.58509168) q[0], q[2];
rx(-1.03462794) q[0];
rx(-1.03462794) q[1];
rx(-1.03462794) q[2];
rx(-1.03462794) q[3];
rx(-1.03462794) q[4];
rzz(1.02871946) q[0], q[1];
rzz(1.02871946) q[1], q[2];
rzz(1.02871946) q[2], q[3];
rzz(1.02871946) q[3], q[4];
rzz(1.02871946) q[4], q[0];
rzz(1.02871946) q[0], q[2];
rx(-0.61812733) q[0];
rx(-0.61812733) q[1];
rx(-0.61812733) q[2];
rx(-0.61812733) q[3];
rx(-0.61812733) q[4];

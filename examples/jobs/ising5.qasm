// exp(-i H t) |00000>, H = -sum Z Z - sum X on an open chain, t = 0.8 in 4 steps of 0.2, second order (Strang)
OPENQASM 3.0;
include "stdgates.inc";

gate rzz(theta) a, b {
  cx a, b;
  rz(theta) b;
  cx a, b;
}

qubit[5] q;

rx(-0.2) q[0];
rx(-0.2) q[1];
rx(-0.2) q[2];
rx(-0.2) q[3];
rx(-0.2) q[4];
rzz(-0.4) q[0], q[1];
rzz(-0.4) q[2], q[3];
rzz(-0.4) q[1], q[2];
rzz(-0.4) q[3], q[4];
rx(-0.4) q[0];
rx(-0.4) q[1];
rx(-0.4) q[2];
rx(-0.4) q[3];
rx(-0.4) q[4];
rzz(-0.4) q[0], q[1];
rzz(-0.4) q[2], q[3];
rzz(-0.4) q[1], q[2];
rzz(-0.4) q[3], q[4];
rx(-0.4) q[0];
rx(-0.4) q[1];
rx(-0.4) q[2];
rx(-0.4) q[3];
rx(-0.4) q[4];
rzz(-0.4) q[0], q[1];
rzz(-0.4) q[2], q[3];
rzz(-0.4) q[1], q[2];
rzz(-0.4) q[3], q[4];
rx(-0.4) q[0];
rx(-0.4) q[1];
rx(-0.4) q[2];
rx(-0.4) q[3];
rx(-0.4) q[4];
rzz(-0.4) q[0], q[1];
rzz(-0.4) q[2], q[3];
rzz(-0.4) q[1], q[2];
rzz(-0.4) q[3], q[4];
rx(-0.2) q[0];
rx(-0.2) q[1];
rx(-0.2) q[2];
rx(-0.2) q[3];
rx(-0.2) q[4];

"""Simulation engines behind one interface: exact where a circuit is small, approximate and labelled where it is not."""

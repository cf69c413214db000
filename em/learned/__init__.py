"""Error mitigation that is learned from simulated devices: features, training, intervals, and a test of what is out of range."""

"""One adapter a provider: calibration snapshots, prices, transpilation, noise models, and runs that survive a restart."""

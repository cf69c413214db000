"""IBM's cloud: one `backends.adapter.Backend` for every device that the account of `IBM_QUANTUM_TOKEN` can use."""

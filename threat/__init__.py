"""Security feeds in, risk out: a classical score at once, a quantum second opinion on what is dangerous or new."""

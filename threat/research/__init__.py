"""The research track: quantum methods whose use for threats is open, each beside its classical control and published figures."""

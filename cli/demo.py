"""`quantumai demo`: the whole platform once round, from an empty folder to verified manifests."""


def demo() -> None:
    """Start the platform, run every example job, verify every manifest, stop what was started."""

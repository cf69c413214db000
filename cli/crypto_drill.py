"""`quantumai crypto drill`."""


def drill() -> None:
    """Nothing yet."""

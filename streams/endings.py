"""How a process ended, in words."""

import signal


def how_it_ended(returncode: int) -> str:
    """`returncode` as `subprocess` gives it: a negative one is a signal's number."""
    return f"exit status {returncode}" if returncode >= 0 else f"killed by {signal.Signals(-returncode).name}"

"""Runs a one-node Kafka in the foreground: what the broker's container runs.

python -m streams.serve_broker FOLDER --host 0.0.0.0 --advertise kafka
"""

import argparse
import os
import sys
from pathlib import Path

from streams.broker import LocalBroker
from streams.errors import StreamsError


def main() -> None:
    """Prepares the folder, then becomes the broker: signals reach it without anything between."""
    parser = argparse.ArgumentParser(prog="streams.serve_broker", description="Runs a one-node Kafka in the foreground.")
    parser.add_argument("folder", type=Path, help="for data and logs")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--advertise", help="host name that clients are told; default: the address")
    parser.add_argument("--heap", default="512m", help="the JVM's heap")
    options = parser.parse_args()
    broker = LocalBroker(options.folder, options.port, host=options.host, advertise=options.advertise, heap=options.heap)
    command = broker.command()
    os.execv(command[0], command)  # noqa: S606 - a fixed command, made by us


if __name__ == "__main__":
    try:
        main()
    except StreamsError as error:
        sys.exit(str(error))

"""The analyses by the clock: `--period weekly` is `quantumai threat weekly`, with all of its options."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run by its path, Python looks in threat/ alone

from cli.main import app

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, add_help=sys.argv[1:] in (["--help"], ["-h"]))
    options.add_argument("--period", choices=("daily", "weekly", "monthly"), required=True, help="with --help: what it does")
    chosen, others = options.parse_known_args()
    app(["threat", chosen.period, *others])

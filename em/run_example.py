"""`python em/run_example.py --circuit random --depth 6`: one family measured, by `quantumai em run`."""

import sys

from cli.main import app

if __name__ == "__main__":
    given = ["--families" if word == "--circuit" else word for word in sys.argv[1:]]
    app(["em", "run", "--quick", *given])

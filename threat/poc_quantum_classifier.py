"""`python threat/poc_quantum_classifier.py`: 20 sample threats, two answers each, by `quantumai threat baseline`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run by its path, Python looks in threat/ alone

from cli.main import app

if __name__ == "__main__":
    app(["threat", "baseline", *sys.argv[1:]])

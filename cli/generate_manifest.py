"""`python cli/generate_manifest.py …` is `quantumai manifest generate …`."""

import sys

sys.path[0] = sys.path[0].rpartition("/")[0] or ".."  # a script's own folder comes first, and its token.py hides Python's

from cli.main import app  # noqa: E402

if __name__ == "__main__":
    app(["manifest", "generate", *sys.argv[1:]])

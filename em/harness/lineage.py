"""Which code made a result."""

import hashlib
import json
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from em.completion import software

_ROOT = Path(__file__).resolve().parents[2]


@cache
def git_commit() -> str:
    """The commit, 40 hex digits, followed by + and a hash of what differs from it; the package's version where there is no git."""
    try:
        if Path(_git("rev-parse", "--show-toplevel").strip()) != _ROOT:  # an environment inside somebody else's repository
            return f"quantumai {version('quantumai')}"
        commit = _git("rev-parse", "HEAD").strip()
        changed = _git("diff", "HEAD", "--", "*.py", "*.json")
        untracked = _git("ls-files", "--others", "--exclude-standard", "--", "*.py")
    except (OSError, subprocess.CalledProcessError):
        return f"quantumai {version('quantumai')}"
    parts = [changed, *(f"{name}\n{(_ROOT / name).read_text()}" for name in sorted(untracked.split()))]
    dirty = "".join(parts)
    return f"{commit}+{hashlib.sha256(dirty.encode()).hexdigest()[:8]}" if dirty else commit


@cache
def versions() -> str:
    """Package to version of what has a part in a result, as JSON."""
    return json.dumps(software(), sort_keys=True)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True).stdout

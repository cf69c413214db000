"""Wrong PINs on both kinds of token: the tries that are left are said, a locked token is unlocked by its security officer."""

import subprocess
import sys

import pytest

from kms.modules import SOFT_TOKENS
from kms.provision import init_token

MODULES = {token.mark: token.modules[0] for token in SOFT_TOKENS}

# In a process of its own: a login is the process's, and a module reads its configuration once.
CODE = """
import sys
from pathlib import Path
from kms.errors import TokenError, TokenLocked
from kms.token import open_token, unlock_token

module, folder, user, officer = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

def attempt(work, *pins):
    try:
        work(module, "own", *pins, folder)
        print("ok")
    except TokenError as error:
        print(type(error).__name__, error)

for _ in range(11):
    attempt(open_token, "canary-of-a-pin")
attempt(unlock_token, "canary-of-an-officer", "another-pin")
attempt(unlock_token, officer, "another-pin")
attempt(open_token, "another-pin")
"""


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_tries_are_counted_down_a_locked_token_says_so_and_is_unlocked(kind, tmp_path):
    if not MODULES[kind].is_file():
        pytest.skip(f"{MODULES[kind]} is not there")
    made = init_token(MODULES[kind], "own", tmp_path / "token", "the-user-s-pin", "the-officer-s-pin")
    command = [sys.executable, "-c", CODE, str(made.module), str(made.folder), "the-user-s-pin", "the-officer-s-pin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    *wrong, refused, unlocked, opened = said
    assert "canary" not in " ".join(said)
    if kind == "softhsm":
        assert all("counts no tries and is never locked" in line for line in wrong)
    else:
        left = [line.rsplit(": ", 1)[-1] for line in wrong[:9]]
        assert left == ["4 or more of 10 tries are left"] * 6 + ["2 or 3 of 10 tries are left"] * 2 + ["1 of 10 tries is left"]
        assert all(line.startswith("TokenLocked") and "`quantumai kms unlock`" in line for line in wrong[9:])
    assert refused.startswith("WrongPin") and "security officer's PIN" in refused
    assert (unlocked, opened) == ("ok", "ok")

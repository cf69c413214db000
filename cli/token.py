"""The key store that a local platform signs with: token, PIN file, keys and trust root in the platform's folder.

python -m cli.token      # makes them by the settings: what runs once beside containers
"""

import sys
from collections.abc import Mapping

from api.key_store import TRUST, open_or_make, token_folder
from kms.errors import KmsError
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from streams.errors import StreamsError
from streams.settings import Settings

__all__ = ["TRUST", "open_or_make", "prepare", "token_folder"]


def prepare(settings: Settings) -> Mapping[str, str]:
    """Makes token and keys where there are none, and writes the trust root; returns what workers need in their environment.

    Raises:
        KmsError, SettingsError: as `api.key_store.open_or_make`.
    """
    token, environment = open_or_make(settings)
    ring = KeyRing.open(settings.ring(), token)
    for key in ring.ensure(LOG_USE, ring.public().required_suites):
        key.sign(b"can this token sign with the keys of this key ring?")  # before trust is put into them
    ring.public().save(settings.home / TRUST)
    return environment


if __name__ == "__main__":
    try:
        prepare(Settings.load())
    except (StreamsError, KmsError) as error:
        sys.exit(str(error))

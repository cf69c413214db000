"""A token in software, for tests of the key ring that need none; and what test processes do with it."""

import sys
import time

from kms.algorithms import algorithm
from kms.errors import KeyMissing
from kms.keyring import KeyRing
from kms.keys import KeySpec, TokenKey
from kms.software import SOFTWARE
from kms.spki import wrap


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class SoftToken:
    """Post-quantum keys in memory."""

    label = "soft"

    def __init__(self, seconds=0.0):
        self.secrets, self.seconds = {}, seconds

    def generate(self, spec: KeySpec) -> TokenKey:
        say("generating")
        time.sleep(self.seconds)
        secret, raw = SOFTWARE[spec.algorithm].generate()
        key = TokenKey(spec, wrap(algorithm(spec.algorithm).oid, raw), raw[:16])
        self.secrets[key.object_id] = secret
        return key

    def sign(self, key, data):
        if key.object_id not in self.secrets:
            raise KeyMissing("gone")
        return SOFTWARE[key.spec.algorithm].use(self.secrets[key.object_id], data)

    decapsulate = sign

    def destroy(self, key):
        self.secrets.pop(key.object_id, None)


if __name__ == "__main__":
    place, pause = sys.argv[1:]
    [made] = KeyRing.open(place, SoftToken(float(pause))).ensure("log", ["ML-DSA-44"])
    say(made.public.kid)

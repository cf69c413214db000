"""The key ring: which keys there are, their versions, states and places in logs. Public data and sealed blobs only.

A version's state follows from the times of its life (`kms.life`): it ends when it is disabled, or when the next version begins.
So a rotation is one row, and whoever uses keys sees it by the ring's revision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from kms.adopting import adopted
from kms.algorithms import SIGNATURES, algorithm, encapsulation, raw_public_key, signature_algorithm
from kms.epoch_ring import read_policy
from kms.errors import ImportRefused, KeyRingError, UnknownKey, WrongTransition
from kms.importing import PrivateKey
from kms.keys import Key, KeySpec, LogRange, PublicKey, TokenKey
from kms.life import TRANSITIONS, Life, Operation, allow
from kms.ring_rows import Entry, entries, write_time
from kms.ring_schema import prepare
from kms.store import Execute, Store, store
from kms.token import Token
from kms.trust import TrustRoot
from kms.uses import USES
from schemas.record import now

NOTICE = timedelta(seconds=2)
"""How long a new version stands in the ring before it signs: every signer has seen it by then."""

_INSERT = """
INSERT INTO keys (kid, use, algorithm, version, spki, object_id, sealed, token, created, activates, imported)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RANGE = """
INSERT INTO log_ranges (kid, log_id, first_size, last_size) VALUES (?, ?, ?, ?)
ON CONFLICT (kid, log_id) DO UPDATE SET last_size = coalesce(log_ranges.last_size, excluded.last_size)
"""
_SHORTEST_KID = 8


class KeyRing:
    """Keys by use, algorithm and version. Any number of processes may share it; keys are made by one at a time."""

    def __init__(self, place: Store, token: Token | None) -> None:
        self.store, self._token = place, token

    @classmethod
    def open(cls, where: Path | str, token: Token | None = None) -> "KeyRing":
        """The key ring in a file, or at postgresql://…; made when it is not there, brought up to date when it is an older one.

        Without a token it can name keys and change their states, but neither make nor use nor destroy them.

        Raises:
            KeyRingError: it cannot be opened, is no key ring, or one of a newer version.
        """
        place = store(where)
        prepare(place)
        return cls(place, token)

    def ensure(self, use: str, algorithms: Sequence[str]) -> list[Key]:
        """One active key per algorithm, in that order; those that are not there are made.

        Raises:
            KeyRingError: the ring was opened without a token, or belongs to another one.
            UnknownAlgorithm: not in the table.
            TokenError: the token refuses.
        """
        token = self._opened()
        for name in algorithms:
            signature_algorithm(name)
        found = self._active(use, algorithms)
        if len(found) < len(algorithms):
            with self.store.alone():
                found = self._active(use, algorithms)
                for name in algorithms:
                    if name not in found:
                        found[name] = self._make(use, name, now)
        return [Key(found[name].public, self._inside(found[name]), token) for name in algorithms]

    def create(self, use: str, name: str) -> PublicKey:
        """A new version: active at once where there is no active one, otherwise pre-active until it is scheduled.

        Raises:
            KeyRingError, UnknownAlgorithm, TokenError: as `ensure`, for all algorithms.
        """
        return self._made(use, name, lambda: None if self._active(use, (name,)) else now())

    def rotate(self, use: str, name: str, at: datetime | None = None) -> PublicKey:
        """A new version that takes over from the active one: at a time to come, or as soon as every signer has seen it.

        Raises:
            WrongTransition: the time is past.
            KeyRingError, UnknownAlgorithm, TokenError: as `create`.
        """
        if at is None:
            return self._made(use, name, lambda: now() + NOTICE)
        _to_come(at)
        return self._made(use, name, lambda: at)

    def adopt(self, use: str, private: PrivateKey, reason: str) -> PublicKey:
        """A new version that was made elsewhere, in the state that `create` gives; the ring says so, and why, for ever.

        Raises:
            ImportRefused: the use is one of ours, no reason is given, or the ring has that key already.
            WrongPrivateKey: what the token makes of it does not fit its public half; nothing of it stays.
            KeyRingError, TokenError: as `create`.
        """
        self._opened()
        if use in USES:
            raise ImportRefused(f"keys of the use {use} ({USES[use]}) are made in the token and never imported")
        if not reason.strip():
            raise ImportRefused("say why a key that was made elsewhere is let in")
        with self.store.alone():
            if found := [entry for entry in self.entries() if entry.public.spki == private.spki]:
                raise ImportRefused(f"the key is {found[0].public.label} ({found[0].public.kid}) already: a key has one use")
            begins = None if self._active(use, (private.algorithm,)) else now()
            return self._make(use, private.algorithm, lambda: begins, private, reason.strip()).public

    def schedule(self, name: str, activates: datetime) -> PublicKey:
        """Lets a pre-active version take over at a time.

        Raises:
            UnknownKey: there is none of that name.
            WrongTransition: it is not pre-active, or the time is past.
        """
        _to_come(activates)
        return self._change(name, "schedule", activates)

    def change(self, name: str, transition: str) -> PublicKey:
        """Brings a key from state to state, now, as `kms.life.TRANSITIONS` allows.

        Raises:
            UnknownKey: there is none of that name.
            WrongTransition: not from the state that it is in.
            KeyRingError: destroying, which needs the token, without one or with another one.
            TokenError: the token refuses to destroy.
        """
        return self._change(name, transition, now())

    def key(self, name: str) -> PublicKey:
        """A key by kid, by an unambiguous beginning of it (8 characters or more), or by use/algorithm/version.

        Raises:
            UnknownKey: there is none, or more than one.
        """
        return self._entry(name).public

    def entries(self) -> list[Entry]:
        """All that the ring knows of its keys, by use, algorithm and version."""
        with self.store.transaction() as execute:
            return entries(execute, now())

    def public(self) -> TrustRoot:
        """What verifiers need: every signature key's public half with its times, and the suites that are demanded."""
        policy = read_policy(self.store)
        keys = tuple(entry.public for entry in self.entries() if entry.public.algorithm in SIGNATURES)
        return TrustRoot(keys, policy.newest.required, policy.epochs)

    def sign(self, name: str, data: bytes) -> bytes:
        """A signature by an active key.

        Raises:
            UnknownKey: there is none of that name.
            NotInForce: it is not active.
            UnknownAlgorithm: it does not sign.
            KeyRingError, TokenError: the token is not there, or refuses.
        """
        return self._opened().sign(self._used(name, "sign"), data)

    def hold(self, entry: Entry) -> Key:
        """A key of the ring to sign with, whatever its state: for drills. Nothing is counted.

        Raises:
            KeyRingError: the ring was opened without a token, or the key is in another one.
        """
        return Key(entry.public, self._inside(entry), self._opened())

    def decapsulate(self, name: str, ciphertext: bytes) -> bytes:
        """The shared secret in a ciphertext.

        Raises:
            UnknownKey, NotInForce, UnknownAlgorithm, KeyRingError, TokenError: as `sign`.
            WrongCiphertext: it is of another length.
        """
        return self._opened().decapsulate(self._used(name, "decapsulate"), ciphertext)

    def encapsulate(self, name: str) -> tuple[bytes, bytes]:
        """(ciphertext, shared secret of 32 bytes) for whoever may use the key's private half.

        Raises:
            UnknownKey, NotInForce, UnknownAlgorithm: as `sign`.
        """
        public = self.key(name)
        allow("encapsulate", public.state, public.kid)
        return encapsulation(public.algorithm).encapsulate(raw_public_key(public.algorithm, public.spki))

    def revision(self) -> int:
        """A number that grows with every change of keys; cheap."""
        with self.store.transaction() as execute:
            return int(execute("SELECT value FROM ring WHERE name = 'revision'")[0]["value"])

    def count(self, uses: Mapping[str, int]) -> None:
        """Adds to the number of uses of keys, kid -> times."""
        with self.store.transaction(write=True) as execute:
            for kid, times in uses.items():
                execute("UPDATE keys SET uses = uses + ? WHERE kid = ?", times, kid)

    def limit(self, ranges: Iterable[tuple[str, LogRange]]) -> None:
        """Notes the parts of logs that keys, by kid, have signed; what stands there already stays."""
        with self.store.transaction(write=True) as execute:
            for kid, part in ranges:
                execute(_RANGE, kid, part.log_id, part.first, part.last)
            _revise(execute)

    def _active(self, use: str, algorithms: Sequence[str]) -> dict[str, Entry]:
        found = [entry for entry in self.entries() if entry.public.use == use and entry.public.state == "active"]
        return {entry.public.algorithm: entry for entry in found if entry.public.algorithm in algorithms}

    def _made(self, use: str, name: str, activates: Callable[[], datetime | None]) -> PublicKey:
        self._opened()
        algorithm(name)
        with self.store.alone():
            return self._make(use, name, activates).public

    def _make(
        self,
        use: str,
        name: str,
        activates: Callable[[], datetime | None],
        private: PrivateKey | None = None,
        reason: str | None = None,
    ) -> Entry:
        token = self._opened()
        with self.store.transaction() as execute:
            query = "SELECT coalesce(max(version), 0) + 1 AS next FROM keys WHERE use = ? AND algorithm = ?"
            version = int(execute(query, use, name)[0]["next"])
        spec = KeySpec(use, name, version)
        made = token.generate(spec) if private is None else adopted(token, spec, private)
        times = write_time(now()), write_time(activates())
        with self.store.transaction(write=True) as execute:
            execute(_INSERT, made.kid, use, name, version, made.spki, made.object_id, made.sealed, token.label, *times, reason)
            _revise(execute)
        return self._entry(made.kid)

    def _change(self, name: str, transition: str, at: datetime) -> PublicKey:
        with self.store.alone():
            entry = self._entry(name)
            life = entry.public.life.after(transition, at, now())
            if transition == "destroy":
                self._opened().destroy(self._inside(entry))
            with self.store.transaction(write=True) as execute:
                _write(execute, entry.public.kid, life, transition)
            return self._entry(entry.public.kid).public

    def _entry(self, name: str) -> Entry:
        found = [entry for entry in self.entries() if name in (entry.public.kid, entry.public.label)]
        if not found and len(name) >= _SHORTEST_KID:
            found = [entry for entry in self.entries() if entry.public.kid.startswith(name)]
        if len(found) != 1:
            what = f"{len(found)} keys begin with" if found else "there is no key"
            raise UnknownKey(f"{what} {name!r} in the key ring {self.store.where}; `quantumai kms keys` lists them")
        return found[0]

    def _used(self, name: str, operation: Operation) -> TokenKey:
        entry = self._entry(name)
        allow(operation, entry.public.state, entry.public.kid)
        self.count({entry.public.kid: 1})
        return self._inside(entry)

    def _inside(self, entry: Entry) -> TokenKey:
        label = self._opened().label
        if entry.token != label:
            raise KeyRingError(f"the key {entry.public.kid} is in token {entry.token!r}, but {label!r} is open; open that one")
        return entry.inside

    def _opened(self) -> Token:
        if self._token is None:
            raise KeyRingError(f"the key ring {self.store.where} was opened without a token: it can make and use no keys")
        return self._token


def _to_come(time: datetime) -> None:
    if time < now():
        raise WrongTransition(f"{time} is past: signatures since then would lose their key; give a time to come")


def _write(execute: Execute, kid: str, life: Life, transition: str) -> None:
    """Writes the one time that a transition sets; of a destroyed key's sealed secret nothing stays."""
    column = TRANSITIONS[transition].sets
    execute(f"UPDATE keys SET {column} = ? WHERE kid = ?", write_time(getattr(life, column)), kid)  # noqa: S608 - a name of ours
    if transition == "destroy":
        execute("UPDATE keys SET sealed = NULL WHERE kid = ?", kid)
    _revise(execute)


def _revise(execute: Execute) -> None:
    execute("UPDATE ring SET value = value + 1 WHERE name = 'revision'")

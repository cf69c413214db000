"""Follows a log from anchor to anchor: each checkpoint names the last one before it that carries an anchor, in its signed text.

Whoever takes an anchor away, or the checkpoint that carries it, leaves every later checkpoint naming what is not there.
"""

from collections.abc import Callable

from kms.anchor import ANCHOR_USE, anchor_of, check_carried
from kms.errors import MissingAnchor, VerificationError
from kms.note import Anchored, Note, signed_by
from kms.trust import TrustRoot


class AnchorReplay:
    """One log's anchors.

    Args:
        trust: whose anchors count.
        whole: the log is given from its beginning; otherwise what its first checkpoint names lies before it.
        every: verify each anchor; otherwise who looks at `newest` verifies that one.
        fail: takes what is found wrong; it may raise.
    """

    def __init__(self, trust: TrustRoot, whole: bool, every: bool, fail: Callable[[VerificationError], None]) -> None:
        self._trust, self._known, self._every, self._fail = trust, whole, every, fail
        self._keys = [key for key in trust.verifying(ANCHOR_USE) if key.algorithm not in trust.policy.broken]
        self._last: Anchored | None = None
        self.newest: Note | None = None
        """The newest checkpoint that names an anchor key whose signatures count; the signature is not verified here."""

    def checkpoint(self, note: Note) -> None:
        """Takes the log's next checkpoint.

        Raises, or hands to `fail`:
            MissingAnchor: it names, or carries, another anchor than it should.
            UnknownAnchor: it carries one by a key that the trust root does not have.
            WrongSignature, OutOfForce: as `kms.anchor.anchor_of`, where every anchor is verified.
        """
        said, before = note.checkpoint, self._last
        known, self._known, self._last = self._known, True, said.last_anchored
        if any(signed_by(note, key) for key in self._keys):
            self.newest = note
        try:
            check_carried(note, self._trust)
            if self._every:
                anchor_of(note, self._trust, covered=True)
        except VerificationError as error:
            self._fail(error)
        if known and said.anchored != before:
            there = f"the last one that is there has size {before.size}" if before else "there is none before it"
            named = f"one of size {said.anchored.size}" if said.anchored else "none"
            self._fail(
                MissingAnchor(f"{said.origin}: the checkpoint of size {said.size} names {named} as anchored last, and {there}")
            )

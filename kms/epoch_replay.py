"""Follows a log from epoch to epoch: numbers only grow, and each change stands in the log, signed under the old policy and the new.

It keeps one checkpoint per epoch and log, whatever the log's length.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from kms.epoch_rules import demanded
from kms.epochs import Epoch, Policy
from kms.errors import PolicyRollback, VerificationError, WrongEpoch
from kms.note import Note


@dataclass(slots=True)
class EpochReplay:
    """One log's epochs, from its checkpoints and from its leaves about epochs, each in their order.

    Attributes:
        log_id: the log.
        policy: what the verifier demands.
        fail: takes what is found wrong; it may raise.
        number: the epoch that the log stands under, so far as it was given; 0 before its first checkpoint.
    """

    log_id: str
    policy: Policy
    fail: Callable[[VerificationError], None]
    number: int = 0
    _leaves: dict[int, tuple[int, Epoch]] = field(default_factory=dict)
    _first: list[Note] = field(default_factory=list)
    _size: int = 0

    def leaf(self, index: int, epoch: Epoch) -> None:
        """Takes a leaf that announces an epoch."""
        if epoch.number in self._leaves:
            self.fail(WrongEpoch(f"{self.log_id}: leaf {index} announces policy epoch {epoch.number} again"))
        self._leaves[epoch.number] = index, epoch

    def checkpoint(self, note: Note) -> None:
        """Takes the log's next checkpoint; what its epoch demands of it is judged, its signatures are not looked at."""
        said = note.checkpoint
        number = max(said.epoch, 1)
        demanded(self.policy, number, said.suites, said.signed_at, f"checkpoint of {said.origin} at size {said.size}")
        if number < self.number:
            before = f"though a checkpoint before it, of size {self._size}, stands under epoch {self.number}"
            raise PolicyRollback(f"{self.log_id}: the checkpoint of size {said.size} stands under policy epoch {number}, {before}")
        if number > self.number:
            self._first.append(note)
        self.number, self._size = number, said.size

    def crossings(self) -> list[Note]:
        """The first checkpoint under each further epoch, whose signatures vouch for the change; checked as far as it is given.

        Raises, or hands to `fail`:
            WrongEpoch: there is no leaf about the change, at another place, or about another policy than the trust root's.
        """
        for before, note in zip(self._first, self._first[1:], strict=False):
            try:
                self._crossed(max(before.checkpoint.epoch, 1), note)
            except VerificationError as error:
                self.fail(error)
        announced = {max(note.checkpoint.epoch, 1) for note in self._first}
        for number, (index, _) in self._leaves.items():
            if number not in announced:
                self.fail(WrongEpoch(f"{self.log_id}: leaf {index} announces policy epoch {number}, no checkpoint stands under it"))
        return self._first[1:]

    def _crossed(self, before: int, note: Note) -> None:
        said = note.checkpoint
        what = f"{self.log_id}: the checkpoint of size {said.size} goes over to policy epoch {said.epoch}"
        if said.epoch not in self._leaves:
            raise WrongEpoch(f"{what}, and no leaf of the log says so")
        index, epoch = self._leaves[said.epoch]
        if index + 1 != said.size:
            raise WrongEpoch(f"{what}, which leaf {index} announces: the two do not stand together")
        if epoch != self.policy.epoch(said.epoch):
            raise WrongEpoch(f"{what} as leaf {index} has it, which is another policy than the trust root's: compare the two")
        old = self.policy.epoch(before).required
        if unsigned := [suite for suite in old if suite not in said.suites and suite not in self.policy.broken]:
            raise WrongEpoch(f"{what} and is not signed under epoch {before}: {', '.join(unsigned)} is not demanded")

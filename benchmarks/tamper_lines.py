"""Single changes of the signature lines below a checkpoint's note: the log's two, and its anchor's.

Nobody signs these lines. One more, by a key that nobody knows, is ignored, as C2SP's specification demands: that is no tamper.
"""

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from benchmarks.tamper_exhibits import Exhibits, Raw, Topics
from benchmarks.tamper_records import changed
from kms.base64_text import read_base64
from kms.note import read_note
from schemas.codec import decode, encode
from schemas.manifests import LogCheckpoint

Lines = list[str]
Change = Callable[[Lines, str, Exhibits, random.Random], Lines]
"""(lines below a note, the note's text, everything, draw) -> other lines."""

_OWN = 2
"""How many lines are the log's own; the anchor's is the one behind them."""


def below(change: Change, *, anchored: bool) -> Callable[[Exhibits, random.Random], Topics]:
    """Changes the lines of one checkpoint.

    Args:
        change: how.
        anchored: of one that carries an anchor.
    """

    def tamper(exhibits: Exhibits, draw: random.Random) -> Topics:
        raws = list(exhibits.topics.checkpoints)
        at = draw.choice([at for at, raw in enumerate(raws) if not anchored or carries_anchor(raw)])
        record = decode(LogCheckpoint, raws[at].value)
        text, lines = _parts(record.note)
        note = f"{text}\n{''.join(change(lines, text, exhibits, draw))}"
        raws[at] = replace(raws[at], value=encode(record.model_copy(update={"note": note})))
        return replace(exhibits.topics, checkpoints=tuple(raws))

    return tamper


def carries_anchor(raw: Raw) -> bool:
    """Whether a checkpoint says that it is anchored."""
    return bool(read_note(decode(LogCheckpoint, raw.value).note).checkpoint.anchor)


def stripped(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """One of the log's own signatures is missing."""
    at = draw.randrange(_OWN)
    return lines[:at] + lines[at + 1 :]


def doubled(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """One line stands twice."""
    return [*lines, draw.choice(lines)]


def replaced(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """One of the log's own takes the place of the other."""
    return [lines[draw.randrange(_OWN)]] * _OWN + lines[_OWN:]


def of_another_checkpoint(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """One of the log's own comes from another checkpoint of the log."""
    at, others = draw.randrange(_OWN), _others(exhibits.topics.checkpoints, text)
    return [*lines[:at], draw.choice(others)[at], *lines[at + 1 :]]


def of_another_log(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """One of the log's own comes from another log; the keys are the same."""
    at = draw.randrange(_OWN)
    return [*lines[:at], draw.choice(_others(exhibits.other_log, text))[at], *lines[at + 1 :]]


def anchor_changed(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """Key id or signature of the anchor are not what they were."""
    name, encoded = lines[_OWN].removesuffix("\n").rsplit(" ", 1)
    return [*lines[:_OWN], f"{name} {_base64(changed(read_base64(encoded), draw))}\n"]


def anchor_removed(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """The anchor is missing."""
    return lines[:_OWN]


def anchor_of_another_checkpoint(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """It is the anchor of another checkpoint of the log: an older one, replayed, or a newer one."""
    return [*lines[:_OWN], draw.choice([other[_OWN] for other in _others(exhibits.topics.checkpoints, text) if other[_OWN:]])]


def anchor_of_another_log(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """It is the anchor of another log, by the same key; now and then under this log's name."""
    line = draw.choice([other[_OWN] for other in _others(exhibits.other_log, text) if other[_OWN:]])
    other, own = line.split(" ")[1], lines[_OWN].split(" ")[1]
    return [*lines[:_OWN], line.replace(other, own) if draw.random() < 0.5 else line]


def anchor_by_another_key(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """The signature is good, and the key is no anchor's; now and then it calls itself the anchor's."""
    line, key_id = exhibits.strangers[text], read_base64(lines[_OWN].split(" ")[2][:-1])[:4]
    name, encoded = line.removesuffix("\n").rsplit(" ", 1)
    posing = f"{name} {_base64(key_id + read_base64(encoded)[4:])}\n"
    return [*lines[:_OWN], posing if draw.random() < 0.5 else line]


def anchor_doubled(lines: Lines, text: str, exhibits: Exhibits, draw: random.Random) -> Lines:
    """The anchor stands twice, in any two places."""
    new = list(lines)
    new.insert(draw.randrange(len(lines) + 1), lines[_OWN])
    return new


def anchors_swapped(exhibits: Exhibits, draw: random.Random) -> Topics:
    """Two checkpoints change their anchors."""
    raws = list(exhibits.topics.checkpoints)
    at = draw.sample([at for at, raw in enumerate(raws) if carries_anchor(raw)], 2)
    records = [decode(LogCheckpoint, raws[one].value) for one in at]
    (text, lines), (other_text, others) = (_parts(record.note) for record in records)
    lines[_OWN], others[_OWN] = others[_OWN], lines[_OWN]
    for one, record, note in zip(at, records, (f"{text}\n{''.join(lines)}", f"{other_text}\n{''.join(others)}"), strict=True):
        raws[one] = replace(raws[one], value=encode(record.model_copy(update={"note": note})))
    return replace(exhibits.topics, checkpoints=tuple(raws))


def _others(raws: Sequence[Raw], text: str) -> list[Lines]:
    """The lines below all notes but the one with this text."""
    return [lines for other, lines in (_parts(decode(LogCheckpoint, raw.value).note) for raw in raws) if other != text]


def _parts(note: str) -> tuple[str, Lines]:
    text, _, lines = note.rpartition("\n\n")
    return text + "\n", lines.splitlines(keepends=True)


def _base64(content: object) -> str:
    assert isinstance(content, bytes)
    return base64.b64encode(content).decode()


LINES: Mapping[str, Callable[[Exhibits, random.Random], Topics]] = {
    **{
        f"signature: {change.__name__.replace('_', ' ')}": below(change, anchored=False)
        for change in (stripped, doubled, replaced, of_another_checkpoint, of_another_log)
    },
    **{
        change.__name__.replace("_", " ").replace("anchor", "anchor:", 1): below(change, anchored=True)
        for change in (
            anchor_changed,
            anchor_removed,
            anchor_of_another_checkpoint,
            anchor_of_another_log,
            anchor_by_another_key,
            anchor_doubled,
        )
    },
    "anchor: two swapped": anchors_swapped,
}

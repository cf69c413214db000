"""The sample feeds: the same generated hour as three sensors see it, and a file with everything that a feed may suffer from.

`python -m threat.samples examples/feeds` writes them anew; the same seed gives the same bytes.
"""

import sys
from pathlib import Path

from threat.synthetic import Made, events, line

SEED = 7
EVENTS = 60
ATTACKS = 0.15

FILES = {
    "suricata_eve.json": ("suricata",),
    "zeek.log": ("zeek", "zeek-tagged", "zeek-stream"),
    "ocsf.json": ("ocsf",),
}
"""File to the forms in it, in turn."""


def write(folder: Path) -> None:
    """All files."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (name, forms) in enumerate(FILES.items()):
        made = events(EVENTS, SEED + place, ATTACKS)
        lines = [line(event, forms[number % len(forms)]) for number, event in enumerate(made)]
        (folder / name).write_bytes(b"\n".join(lines) + b"\n")
    (folder / "damaged.json").write_bytes(_damaged(next(events(1, SEED))))


def _damaged(made: Made) -> bytes:
    """Eight lines, of which the first and the last are well."""
    good = line(made, "suricata")
    return b"\n".join(
        [
            good,
            good[: len(good) // 2],
            good.decode().encode("utf-16"),
            good.replace(b'"proto"', b'"caf\xe9"'),
            b'{"event_type":"alert","src_ip":"192.0.2.1"}',
            good.replace(b"+0000", b""),
            b"#separator \\x09",
            line(made, "ocsf"),
            b"",
        ]
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""A million seeded single tampers with logs, proofs, checkpoints, signatures, anchors, headers, bundles, envelopes: none accepted.

    python -m benchmarks.tamper --tampers 1070000 --seed 7

Each tamper changes one thing in what verifies (a log's events, manifests and checkpoints; a bundle; an envelope). That is verified
again from its bytes, the signatures of every checkpoint and every anchor included. The table says how often each kind was tried and
by which error it was found; an error that is none of ours ends the run. The controls are what is untouched, verified as often as a
kind: they must be accepted every time.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tamper_documents import BUNDLES, ENVELOPES
from benchmarks.tamper_exhibits import Exhibits, made, verify_bundle_text, verify_envelope_text, verify_topics
from benchmarks.tamper_lines import LINES
from benchmarks.tamper_records import RECORDS
from kms import keys, verification
from kms.trust import TrustRoot
from schemas import cloudevents, codec
from schemas.errors import InputError

CONTROLS = ("a log (control)", "a bundle (control)", "an envelope (control)")

Change = Callable[[Exhibits, random.Random], Any]
Verify = Callable[[Any, TrustRoot], None]


def _of(part: str, change: Callable[[Any, random.Random], Any]) -> Change:
    return lambda exhibits, draw: change(getattr(exhibits, part), draw)


def _logs(changes: Mapping[str, Change]) -> dict[str, tuple[Change, Verify]]:
    return {name: (change, verify_topics) for name, change in changes.items()}


KINDS: Mapping[str, tuple[Change, Verify]] = {
    CONTROLS[0]: (lambda exhibits, draw: exhibits.topics, verify_topics),
    CONTROLS[1]: (_of("bundles", lambda texts, draw: draw.choice(texts)), verify_bundle_text),
    CONTROLS[2]: (_of("envelopes", lambda texts, draw: draw.choice(texts)), verify_envelope_text),
    **_logs({name: _of("topics", change) for name, change in RECORDS.items()}),
    **_logs(LINES),
    **{name: (_of("bundles", change), verify_bundle_text) for name, change in BUNDLES.items()},
    **{name: (_of("envelopes", change), verify_envelope_text) for name, change in ENVELOPES.items()},
}
"""Kind -> (changes the exhibits, verifies what came of it)."""


@cache
def _remember_pure_work() -> None:
    """What depends on bytes alone is done once for the same bytes, so that most of the time goes into what was changed."""
    kept = lru_cache(maxsize=64)
    keys.PublicKey.verify = kept(keys.PublicKey.verify)  # type: ignore[method-assign]
    for module, name in ((verification, "read_note"), (codec, "decode"), (cloudevents, "digest")):
        setattr(module, name, kept(getattr(module, name)))


def attempts(exhibits: Exhibits, trust: TrustRoot, seed: int, count: int) -> Counter[tuple[str, str]]:
    """(kind, error) -> how often, of `count` tampers; the kinds take turns."""
    _remember_pure_work()
    draw, found, names = random.Random(seed), Counter[tuple[str, str]](), list(KINDS)
    untouched = (exhibits.topics, *exhibits.bundles, *exhibits.envelopes)
    for number in range(count):
        name = names[number % len(names)]
        change, verify = KINDS[name]
        given = change(exhibits, draw)
        if given in untouched and name not in CONTROLS:
            continue
        try:
            verify(given, trust)
            found[name, ""] += 1
        except InputError as error:
            found[name, type(error).__name__] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tampers", type=int, default=1_070_000, help="control included; each kind of change in turn")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exhibits, trust = made(Path(folder))
    started = time.perf_counter()
    chunk = 5_000
    seeds = range(arguments.seed, arguments.seed + -(-arguments.tampers // chunk))
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        found = sum(
            pool.starmap(attempts, [(exhibits, trust, seed, chunk) for seed in seeds], chunksize=1), Counter[tuple[str, str]]()
        )
    table = Table("what was changed", "tried", "accepted", "found by", title=f"seeds {seeds.start} to {seeds.stop - 1}")
    for name in KINDS:
        errors = {error: count for (kind, error), count in found.items() if kind == name}
        tried, accepted = sum(errors.values()), errors.pop("", 0)
        words = ", ".join(f"{error} {count:,}" for error, count in sorted(errors.items(), key=lambda item: -item[1]))
        table.add_row(name, f"{tried:,}", f"{accepted:,}", words)
    tampers = sum(count for (name, _), count in found.items() if name not in CONTROLS)
    accepted = sum(count for (name, error), count in found.items() if name not in CONTROLS and not error)
    console = Console(width=160)
    console.print(table)
    console.print(f"{tampers:,} tampers, {accepted:,} accepted, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()

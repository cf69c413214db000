"""Does one nightly notice a bug? Seeded bugs in the mitigation code, one at a time; and clean nights, which must raise no alarm.

    python -m benchmarks.mutants --mutants 130 --nights 300 --seed 1

A mutant is one small change of a mitigation method or of what it does to circuits (`benchmarks.mutant_changes`): a wrong sign, an
index or a fold off by one, a lost factor or term, two arguments swapped, a comparison turned round, a reversal forgotten. They are
drawn from all such changes of the files named there, every file having its share. Each mutant does one night (circuits, methods,
devices and budgets as `benchmarks.mutant_nights` has them) and is compared with fourteen nights of the clean code by the nightly's
own test. A mutant that gives the clean night's numbers to the last bit, under that night's seed, changed nothing that a result
depends on (an error message, a default that nobody takes): it is listed, not counted.

A night has three parts: methods that run a job's own circuits, those that learn from circuits near it, and the one that runs two
copies. A mutant does the part that its file belongs to; the others keep the clean night's numbers. What all parts share counts as
the first, so that it has to be caught there.

Only what a mutant changes is run again: the exact distributions that clean nights needed are kept, and a mutant whose replay (the
part of a night that has the same seed every night) raises the alarm needs no more than that; the others do the whole night.
Each mutant runs in a process of its own, forked before any of our code was imported. The control is the clean code, on nights of
other seeds; most of the time goes into twirled and cancelled circuits, which differ from night to night. `--mutants` and
`--nights` make it shorter.
"""

import argparse
import json
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import fastavro
import numpy as np
import onnxruntime
import openqasm3
import pyarrow as pa
import pydantic
import qiskit
import qiskit_aer
import qiskit_qasm3_import
import scipy.linalg
import scipy.optimize
import stim
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.mutant_changes import Mutant, Mutated, drawn
from benchmarks.mutant_nights import Known, Tables, a_night, alarms, measured, part_of, same, scopes

# imported here so that forked processes need not; ours must not be among them
PRELOADED = (
    fastavro,
    onnxruntime,
    openqasm3,
    pydantic,
    qiskit,
    qiskit_aer,
    qiskit_qasm3_import,
    scipy.linalg,
    scipy.optimize,
    stim,
)

HISTORY = 14
HANGS_SECONDS = 240


def forked(work: Callable[[], Any], seconds: float = 3600) -> Any:
    """What `work` returns in a process of its own; `TimeoutError` when it takes longer, what it raises as a string."""
    here, there = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        os.setsid()
        try:
            answer = True, work()
        except BaseException as error:
            answer = False, f"{type(error).__name__}: {error}"
        there.send_bytes(pickle.dumps(answer))
        os._exit(0)
    there.close()
    try:
        if not here.poll(seconds):
            os.killpg(pid, signal.SIGKILL)
            return False, f"hangs: no answer within {seconds} s"
        return pickle.loads(here.recv_bytes())  # noqa: S301 - from our own child
    except EOFError:
        return False, "the process died"
    finally:
        os.waitpid(pid, 0)
        here.close()


@dataclass(frozen=True)
class Clean:
    """Nights of the clean code: those before, the last with its seed, and the distributions that it needed."""

    known: bytes
    history: list[Tables]
    night: Tables
    seed: int
    kept: dict[int, Any]


def verdict(mutant: Mutant, clean: Clean) -> tuple[str, str]:
    """(caught, missed or same; why)."""

    part = part_of(mutant.file)

    def instead(tables: list[pa.Table], mutated: pa.Table) -> list[pa.Table]:
        return [*tables[:part], mutated, *tables[part + 1 :]]

    def work() -> tuple[str, str]:
        sys.meta_path.insert(0, Mutated(mutant))
        from em.harness.night import replayed

        known, kept = Known.unpickled(clean.known), clean.kept
        scope = scopes(known, clean.seed)[part]
        replays, failed = measured(known, replayed([scope])[0], kept)
        if failed:
            return "caught", f"{failed} tasks fail"
        tonight = replace(clean.night, replays=instead(clean.night.replays, replays))
        found = alarms(tonight, clean.history)
        if found:
            return "caught", found[0]
        rows, failed = measured(known, scope, kept)
        if failed:
            return "caught", f"{failed} tasks fail"
        if same(rows, clean.night.rows[part]):
            return "same", ""
        found = alarms(replace(tonight, rows=instead(clean.night.rows, rows)), clean.history)
        return ("caught", found[0]) if found else ("missed", "")

    fine, answer = forked(work, HANGS_SECONDS)
    return answer if fine else ("caught", answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=130)
    parser.add_argument("--nights", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    began, console = time.perf_counter(), Console(width=160)

    seeds = [arguments.seed * 100_000 + number for number in range(HISTORY + 1)]

    def nights() -> Clean:
        known, tables = Known(), []
        for seed in seeds:
            kept: dict[int, Any] = {}  # what the last of them needed is what mutants need
            known.forget()
            tables.append(a_night(known, seed, kept))
        return Clean(known.pickled(), tables[:-1], tables[-1], seeds[-1], kept)

    def false_alarms(some: Sequence[int]) -> list[tuple[int, list[str]]]:
        known, found = Known.unpickled(clean.known), []
        for seed in some:
            said = alarms(a_night(known, seed, dict(clean.kept)), clean.history)
            found += [(seed, said)] if said else []
        return found

    fine, clean = forked(nights)
    if not fine:
        sys.exit(clean)
    console.print(
        f"{HISTORY + 1} clean nights of {sum(map(len, clean.night.rows)):,} estimates, {len(clean.kept):,} distributions each, "
        f"{time.perf_counter() - began:.0f} s"
    )
    chosen = drawn(arguments.mutants, arguments.seed)
    others = [seeds[-1] + 1 + number for number in range(arguments.nights)]
    chunks = [others[start : start + 10] for start in range(0, len(others), 10)]
    with ThreadPoolExecutor(arguments.processes) as pool:
        judged = pool.map(lambda mutant: verdict(mutant, clean), chosen)
        verdicts = list(track(judged, "mutants", len(chosen), console=Console(stderr=True), transient=True))
        _say_mutants(console, chosen, verdicts)
        console.print(f"{time.perf_counter() - began:.0f} s")
        answers = pool.map(lambda some: forked(lambda: false_alarms(some)), chunks)
        alarmed = list(track(answers, "clean nights", len(chunks), console=Console(stderr=True), transient=True))
    broken = [answer for fine, answer in alarmed if not fine]
    if broken:
        sys.exit(broken[0])
    false = [each for _, answer in alarmed for each in answer]
    console.print(f"{len(false)} false alarms in {len(others)} clean nights")
    for seed, sentences in false:
        console.print(f"false alarm under seed {seed}: {json.dumps(sentences[:2])}", markup=False)
    console.print(f"{time.perf_counter() - began:.0f} s")


def _say_mutants(console: Console, chosen: Sequence[Mutant], verdicts: Sequence[tuple[str, str]]) -> None:
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, (word, _) in zip(chosen, verdicts, strict=True):
        kinds[mutant.kind][word] += 1
    table = Table("bug", "caught", "missed", "changes nothing", title="one night each")
    for kind, words in sorted(kinds.items()):
        table.add_row(kind, *(str(words[word]) for word in ("caught", "missed", "same")))
    console.print(table)
    for word in ("missed", "same"):
        for mutant, (found, _) in zip(chosen, verdicts, strict=True):
            if found == word:
                console.print(f"{word}: {mutant.file}:{mutant.line} {mutant.kind}: {mutant.before} -> {mutant.after}", markup=False)
    caught = sum(word == "caught" for word, _ in verdicts)
    console.print(f"{caught} of {sum(word != 'same' for word, _ in verdicts)} bugs caught")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()

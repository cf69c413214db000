"""Does one nightly notice a bug? Seeded bugs in the mitigation code, one at a time; and clean nights, which must raise no alarm.

    python -m benchmarks.mutants --mutants 130 --nights 300 --seed 1

A mutant is one small change of a mitigation method or of what it does to circuits: a wrong sign, an index or a fold off by one,
a lost factor or term, two arguments swapped, a comparison turned round, a reversal forgotten. They are drawn from all such changes
of `FILES`, every file having its share. Each mutant does one night (circuits, methods, devices and budgets as below) and is
compared with fourteen nights of the clean code by the nightly's own test. A mutant that gives the clean night's numbers to the
last bit, under that night's seed, changed nothing that a result depends on (an error message, a default that nobody takes): it is
listed, not counted.

A night has three parts (`PARTS`): methods that run a job's own circuits, those that learn from circuits near it, and the one that
runs two copies. A mutant does the part that its file belongs to; the others keep the clean night's numbers. What all parts share
counts as the first, so that it has to be caught there.

Only what a mutant changes is run again: the exact distributions that clean nights needed are kept, and a mutant whose replay (the
part of a night that has the same seed every night) raises the alarm needs no more than that; the others do the whole night.
Each mutant runs in a process of its own, forked before any of our code was imported. The control is the clean code, on nights of
other seeds; most of the time goes into twirled and cancelled circuits, which differ from night to night. `--mutants` and
`--nights` make it shorter.
"""

import argparse
import ast
import copy
import importlib.util
import json
import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
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

ROOT = Path(__file__).resolve().parents[1]
UNHEARD = {"__init__.py", "method.py", "learned.py"}
"""Of `em/methods`: nothing to mutate, or methods that no night runs."""


@dataclass(frozen=True)
class Part:
    """Methods that build circuits of their own, on one device with one budget: all that they build has to be compiled.

    Attributes:
        methods: of a night.
        files: that these methods alone depend on.
    """

    methods: tuple[str, ...]
    files: tuple[str, ...]


PARTS = (
    Part(("cdr", "vncdr"), ("em/methods/regression.py", "em/near_clifford.py")),
    Part(("vd",), ("em/methods/distillation.py",)),
)
"""Of a night, after the first, which has all other methods on all devices with all budgets."""

FILES = (
    *sorted(f"em/methods/{path.name}" for path in (ROOT / "em/methods").glob("*.py") if path.name not in UNHEARD),
    "em/near_clifford.py",
    "em/observables.py",
    *(f"backends/{name}.py" for name in ("folding", "frames", "cancellation", "decoupling", "waits", "preparation")),
)
SKIPPED = {"check", "parameters", "__post_init__", "cost"}
"""Functions that only refuse bad input or forecast a price: no result depends on them."""

CIRCUITS, QUBITS, DEPTH = 3, 4, 3
BUDGETS = (1024, 65536)
BACKENDS = ("aer_noisy", "idle:fake_jakarta")
"""One of them with noise in its waits: nothing else shows what decoupling does there."""

HISTORY = 14
HANGS_SECONDS = 240


@dataclass(frozen=True)
class Mutant:
    """One changed line of one file."""

    file: str
    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")


# ---- what is changed


_OTHER_OPERATOR = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult}
_OTHER_COMPARISON = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(kind, what stands instead) for an expression."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OTHER_OPERATOR:
        kind = "wrong sign" if isinstance(node.op, ast.Add | ast.Sub) else "wrong operator"
        yield kind, ast.BinOp(node.left, _OTHER_OPERATOR[type(node.op)](), node.right)
        yield "lost term" if kind == "wrong sign" else "lost factor", node.left
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "wrong sign", node.operand
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "wrong condition", node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OTHER_COMPARISON:
        yield "wrong condition", ast.Compare(node.left, [_OTHER_COMPARISON[type(node.ops[0])]()], node.comparators)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed":
        yield "order kept", node.args[0]
    if isinstance(node, ast.Call) and len(node.args) == 2 and not any(isinstance(item, ast.Starred) for item in node.args):
        yield "arguments swapped", ast.Call(node.func, node.args[::-1], node.keywords)
    if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield "pair swapped", ast.Tuple(node.elts[::-1], ast.Load())


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else super().visit(node)


def mutants(file: str) -> list[Mutant]:
    """All of a file."""
    text = (ROOT / file).read_text()
    tree = ast.parse(text)
    found = []
    for node in _expressions(tree):
        for kind, new in changes(node):
            changed = ast.unparse(_with(text, node, new))
            found.append(Mutant(file, node.lineno, kind, ast.unparse(node), ast.unparse(new), changed))
    return found


def _with(text: str, node: ast.expr, new: ast.expr) -> ast.Module:
    """The module with one expression changed: found again in a fresh tree by its place and its kind."""
    tree = ast.parse(text)
    place = (type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
    for other in ast.walk(tree):
        if (
            isinstance(other, ast.expr)
            and (type(other), other.lineno, other.col_offset, other.end_lineno, other.end_col_offset) == place
        ):
            return ast.fix_missing_locations(_Replace(other, ast.copy_location(copy.deepcopy(new), other)).visit(tree))
    raise LookupError(place)


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions that run and whose value matters: no annotations, messages, decorators, defaults or module constants' types."""
    for name, child in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        for item in child if isinstance(child, list) else [child]:
            if not isinstance(item, ast.AST) or isinstance(
                item, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert
            ):
                continue
            if isinstance(item, ast.FunctionDef) and item.name in SKIPPED:
                continue
            if isinstance(item, ast.expr):
                yield item
            yield from _expressions(item)


def drawn(count: int, seed: int) -> list[Mutant]:
    """So many, every file having its share as far as it has them."""
    draw = random.Random(seed)
    waiting = {file: draw.sample(all_of, len(all_of)) for file in FILES if (all_of := mutants(file))}
    found: list[Mutant] = []
    while len(found) < count and waiting:
        for file in list(waiting):
            found.append(waiting[file].pop())
            if not waiting[file]:
                del waiting[file]
    return found[:count]


class _Mutated(MetaPathFinder, SourceFileLoader):
    """Imports one module from a changed source."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.file))
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, ROOT / self._mutant.file, loader=self)

    def get_code(self, fullname: str) -> Any:
        return compile(self._mutant.source, str(ROOT / self._mutant.file), "exec")


# ---- a night, in a process that has imported our code


def scopes(known: "Known", seed: int) -> list[Any]:
    """A night's, one for each part."""
    from em.harness import night

    built = {name for part in PARTS for name in part.methods}
    methods = tuple(name for name in (*night.METHODS, *night.MORE) if name not in built)
    first = replace(known.scope, methods=methods, seed=seed)
    return [first, *(replace(first, methods=part.methods, budgets=BUDGETS[-1:], backends=BACKENDS[:1]) for part in PARTS)]


def part_of(file: str) -> int:
    """The number of the part that a file belongs to."""
    return next((number for number, part in enumerate(PARTS, 1) if file in part.files), 0)


class Known:
    """What no mutant changes: calibrations, circuits, and what the transpiler makes of them. Made once, and handed to forks."""

    def __init__(self) -> None:
        from backends import registry
        from em.harness import night
        from em.harness.plan import Scope
        from schemas.codec import encode

        snapshots = {name: backend.calibration() for name, backend in registry.load(BACKENDS).items()}
        self.ids = {name: each.calibration_id for name, each in snapshots.items()}
        self.encoded = {name: encode(each) for name, each in snapshots.items()}
        self.scope = Scope(night.FAMILIES, CIRCUITS, ("raw",), BUDGETS, BACKENDS, qubits=QUBITS, depth=DEPTH)
        self.circuits = {draw: self.scope.draw(*draw) for draw in self.scope.draws()}

    def forget(self) -> None:
        """What was compiled until now: of earlier nights it is more than a night needs."""
        from em.harness.measure import _device

        for each in self.encoded.values():
            _device(each)._compiled.clear()

    def pickled(self) -> bytes:
        """With the circuits that were compiled since. Only forks may read it: it would import our code."""
        from em.harness.measure import _device

        return pickle.dumps((self, {name: dict(_device(each)._compiled) for name, each in self.encoded.items()}))

    @staticmethod
    def unpickled(content: bytes) -> "Known":
        from em.harness.measure import _device

        known, compiled = pickle.loads(content)  # noqa: S301 - our own
        for name, bodies in compiled.items():
            _device(known.encoded[name])._compiled.update(bodies)
        return known


def measured(known: Known, scope: Any, kept: dict[int, Any]) -> tuple[pa.Table, int]:
    """(results, failed tasks) of a scope; `kept` has distributions, and gets new ones."""
    from em.engines.pauli_transfer import PauliTransfer
    from em.harness.measure import measure
    from em.harness.plan import batch

    original = PauliTransfer.__dict__["distributions"]

    def distributions(self: Any, device: Any, asked: Sequence[Any]) -> list[Any]:
        keys = [hash((device.calibration.calibration_id, circuit.operations, circuit.places)) for circuit in asked]  # forks agree
        missing = {key: circuit for key, circuit in zip(keys, asked, strict=True) if key not in kept}
        kept.update(zip(missing, original(self, device, list(missing.values())), strict=True))
        return [kept[key] for key in keys]

    PauliTransfer.distributions = distributions  # type: ignore[method-assign]
    try:
        tables, failed = [], 0
        for drawn in known.circuits.values():
            job = batch(scope, drawn[: scope.circuits], known.ids, ())
            assert job is not None
            done = measure(job, known.encoded)
            tables.append(done.results.append_column("family", pa.array([job.family] * len(done.results))))
            failed += len(done.failed)
        return pa.concat_tables(tables), failed
    finally:
        PauliTransfer.distributions = original  # type: ignore[method-assign]


def a_night(known: Known, seed: int, kept: dict[int, Any]) -> "Tables":
    """A whole night and its replays."""
    from em.harness.night import replayed

    asked = scopes(known, seed)
    return Tables(*([measured(known, scope, kept)[0] for scope in some] for some in (asked, replayed(asked))))


def alarms(tonight: "Tables", history: Sequence["Tables"]) -> list[str]:
    """What the nightly's test says."""
    from datetime import date, timedelta

    from em.harness.night import Night
    from em.harness.regression import compare

    nights = []
    for number, tables in enumerate([*history, tonight]):
        night = Night(date(2026, 1, 1) + timedelta(number), f"{number:08d}", Path(f"night-{number}"))
        night.__dict__.update(rows=pa.concat_tables(tables.rows), replays=pa.concat_tables(tables.replays))
        nights.append(night)
    return [move.sentence for move in compare(nights[-1], nights[:-1]).regressions]


@dataclass(frozen=True)
class Tables:
    """A night's results, and what it replayed, part by part."""

    rows: list[pa.Table]
    replays: list[pa.Table]


COLUMNS = ("estimate", "standard_error", "raw", "shots", "abstained", "executions")


def same(some: pa.Table, night: pa.Table) -> bool:
    """Whether some of a night's results are that night's to the last bit."""
    tonight = dict(
        zip(zip(night["task_id"].to_pylist(), night["observable"].to_pylist(), strict=True), _values(night), strict=True)
    )
    places = zip(some["task_id"].to_pylist(), some["observable"].to_pylist(), strict=True)
    return all(tonight.get(place) == values for place, values in zip(places, _values(some), strict=True))


def _values(rows: pa.Table) -> list[str]:
    return [repr(values) for values in zip(*(rows[name].to_pylist() for name in COLUMNS), strict=True)]


# ---- processes


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
        sys.meta_path.insert(0, _Mutated(mutant))
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

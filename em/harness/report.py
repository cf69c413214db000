"""A night as a person reads it: what moved, how accurate each method was and at what price, and where every number comes from."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import FigureBase

from em.harness import figures
from em.harness.night import Night
from em.harness.regression import Comparison, Move
from em.harness.summary import Line, alike, lines, said

_HEADINGS = ("family", "method", "what", "times", "why")
_KINDS = {True: "abstained", False: "otherwise than asked", None: "failed"}
_MOST = 25  # reasons that are listed


@dataclass(frozen=True)
class Table:
    """A table of text."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of a report: text, then a figure, then a table, whichever there are.

    Attributes:
        draw: fills a figure.
    """

    title: str
    text: tuple[str, ...] = ()
    draw: Callable[[FigureBase], None] | None = None
    table: Table | None = None


@dataclass(frozen=True)
class Report:
    """A title, a verdict in a sentence, and sections."""

    title: str
    verdict: str
    good: bool
    sections: tuple[Section, ...]


def report(night: Night, compared: Comparison | None, earlier: Sequence[Night] = ()) -> Report:
    """The report of a night, or of any store when there is nothing to compare it with."""
    rows = night.rows
    sections = [_accuracy(lines(rows), compared), _where(lines(rows, ("family", "backend", "method")))]
    by_budget = lines(rows, ("family", "method", "budget"))
    groups = alike(rows)
    for family in _sorted(by_budget):
        comparable = [methods for home, methods in groups if home == family]
        sections.append(_price(family, [line for line in by_budget if line.key[0] == family], comparable))
    if earlier:
        sections.append(_nights([*earlier, night]))
    sections += [_abstained(night), _lineage(night)]
    moves = compared.moves if compared else ()
    worse, better = (_whose(move for move in moves if move.worse is bad) for bad in (True, False))
    told = [f"{what} than before: {', '.join(names)}." for what, names in (("Worse", worse), ("Better", better)) if names]
    quiet = "Nothing moved." if earlier else "There is no earlier night to compare with."
    return Report(f"Error mitigation, {night.name}", " ".join(told) or quiet, not moves, tuple(sections))


def _whose(moves: Iterable[Move]) -> list[str]:
    return list(dict.fromkeys("/".join(move.series[:2]) for move in moves))


def _moved(compared: Comparison) -> tuple[str, ...]:
    text = [f"{'WORSE' if move.worse else 'Better'}: {move.sentence}." for move in compared.moves] or ["Nothing moved."]
    text.append(
        f"Compared with {len(compared.nights)} earlier nights of the same circuits in {compared.tested} tests; a night on which "
        "nothing has changed raises an alarm with a probability of at most 0.5 %, all tests together."
    )
    if compared.unheard:
        text.append(f"Without history, and so not tested: {', '.join(compared.unheard)}.")
    if compared.deaf:
        text.append(f"On too few circuits, devices and nights for any change to raise an alarm: {', '.join(compared.deaf)}.")
    return tuple(text)


def _accuracy(found: Sequence[Line], compared: Comparison | None) -> Section:
    headings = ("family", "method", "estimates", "mean |error|", "raw", "gain", "RMSE", "within 2 s.e.", "shots", "USD")
    rows = tuple(
        (
            *map(str, line.key),
            f"{line.values:,}",
            f"{line.error:.4f}",
            said(line.raw_error, ".4f"),
            said(line.gain, ".2f") and f"{line.gain:.2f}x",
            f"{line.rmse:.4f}",
            f"{line.covered:.0%}",
            f"{line.shots:,.0f}",
            f"{line.cost_usd:.2f}",
        )
        for line in found
    )
    says = (
        "All budgets and devices together. Errors are |estimate - ideal| in units of the observable's bound. The control, raw, "
        "is no mitigation on the same circuits, devices and budgets; shots and USD are means per task, calibration included."
    )
    if compared is None:
        return Section("Accuracy", (says,), table=Table(headings, rows))
    return Section("What moved, and how accurate each method is", (*_moved(compared), says), table=Table(headings, rows))


def _where(found: Sequence[Line]) -> Section:
    harmed = [f"{'/'.join(map(str, line.key))} ({line.gain:.2f}x)" for line in found if line.values and line.gain < 1 / 1.02]
    says = (
        f"Where it harms (more than 2 % worse than raw): {', '.join(harmed)}."
        if harmed
        else "No method is worse than raw anywhere."
    )
    return Section("Where mitigation helps, and where it harms", (says,), partial(figures.gains, found=found))


def _price(family: str, found: Sequence[Line], comparable: Sequence[Sequence[str]]) -> Section:
    text = tuple(_best([line for line in found if line.values and line.key[1] in methods], methods) for methods in comparable)
    return Section(f"{family}: accuracy against price", text, partial(figures.price, found=found))


def _best(given: Sequence[Line], methods: Sequence[str]) -> str:
    """The winner at each budget, of methods that were measured on the same circuits and devices."""
    best = {
        budget: min((line for line in given if line.key[2] == budget), key=_error) for budget in {line.key[2] for line in given}
    }
    told = "; ".join(f"{budget:,}: {line.key[1]} ({line.error:.4f})" for budget, line in sorted(best.items()))
    return f"Most accurate at each budget, of {', '.join(methods)}: {told or 'none gave an estimate'}."


def _nights(nights: Sequence[Night]) -> Section:
    found = [{line.key: line.error for line in lines(night.rows)} for night in nights]
    keys = sorted({key for each in found for key in each})
    families = sorted({family for family, _ in keys})
    errors = {
        family: {method: [each.get((family, method), float("nan")) for each in found] for home, method in keys if home == family}
        for family in families
    }
    names = [night.name for night in nights]
    return Section("Night by night", (), partial(figures.nights, names=names, errors=errors))


def _abstained(night: Night) -> Section:
    rows, failures = night.rows, night.store.failures()
    noted = rows.filter(pc.not_equal(rows["note"], ""))
    declined = rows["abstained"].to_pylist().count(True)
    counted = Counter(_told(noted, "note", "abstained")) + Counter(_told(failures, "error", "abstained"))
    table = tuple(
        (family, method, _KINDS[abstained], f"{count:,}", why)
        for (family, method, why, abstained), count in sorted(counted.items(), key=lambda item: -item[1])[:_MOST]
    )
    others = f"{len(noted) - declined:,} more have a note."
    text = f"{declined:,} of {len(rows):,} estimates were declined because their counts allow none, {others}"
    tried = f"{len(failures):,} tasks failed; the same command tries them again." if len(failures) else "No task failed."
    return Section(
        "Abstained, failed, or done otherwise than asked", (text, tried), table=Table(_HEADINGS, table) if table else None
    )


def _told(rows: pa.Table, why: str, kind: str) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in ("family", "method", why, kind)), strict=True))


def _lineage(night: Night) -> Section:
    rows = night.rows
    facts = [
        ("tasks", f"{len(rows['task_id'].unique()):,}"),
        ("circuits", f"{len(rows['circuit_hash'].unique()):,}, drawn with seed {_all(rows['circuit_seed'])}"),
        ("budgets", _all(rows["budget"])),
        ("begun, over", f"{pc.min(rows['started_at'])}, {pc.max(rows['finished_at'])}"),
        (
            "device time",
            f"{_per_task(night, 'device_seconds') / 3600:,.1f} h, {_per_task(night, 'cost_usd'):,.0f} USD by the price lists",
        ),
        ("engines", _all(rows["engine"])),
        ("approximate", f"{pc.sum(rows['approximate']).as_py():,} rows: these drop what is not Pauli noise"),
        ("commit", _all(rows["git_commit"])),
    ]
    snapshots = sorted(set(zip(rows["backend"].to_pylist(), rows["calibration_id"].to_pylist(), strict=True)))
    facts += [(f"calibration of {backend}", calibration) for backend, calibration in snapshots]
    methods = sorted(set(zip(*(rows[name].to_pylist() for name in ("method", "method_version", "parameters")), strict=True)))
    facts += [(method, f"version {version}, {parameters}") for method, version, parameters in methods]
    facts += sorted(json.loads(rows["software"][0].as_py()).items())
    text = (
        "Every row of the Parquet files has its own: circuit and calibration by hash, seed, parameters, versions, commit and times."
    )
    return Section("Lineage", (text,), table=Table(("what", "which"), tuple(facts)))


def _all(column: object) -> str:
    return ", ".join(str(value) for value in sorted(column.unique().to_pylist()))  # type: ignore[attr-defined]


def _per_task(night: Night, column: str) -> float:
    """The sum over tasks; rows of one task repeat it."""
    rows = night.rows
    return sum(dict(zip(rows["task_id"].to_pylist(), rows[column].to_pylist(), strict=True)).values())


def _sorted(found: Sequence[Line]) -> list[str]:
    return sorted({line.key[0] for line in found})


def _error(line: Line) -> float:
    return line.error

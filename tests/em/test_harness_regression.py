"""Nights compared: a mutation in a method is named with the commit that brought it; clean nights, and new versions, are quiet."""

import os
import re
from dataclasses import replace
from datetime import date
from html import escape
from pathlib import Path

import pytest
from harness_runs import measured

from em.harness import night as nights_of
from em.harness.documents import write
from em.harness.night import Night
from em.harness.plan import Scope
from em.harness.regression import compare
from em.harness.report import report
from em.harness.summary import lines
from em.methods import readout, zne

SCOPE = Scope(("ising",), 22, ("readout", "zne-linear"), (4000,), ("aer_noisy", "fake_jakarta"))


def night(root: Path, day: int, code: str, seed: int | None = None, circuits: int = SCOPE.circuits) -> Night:
    folder = root / f"2026-11-{day:02}-{code}"
    measured(replace(SCOPE, seed=day if seed is None else seed, circuits=circuits), folder)
    return Night(date(2026, 11, day), code, folder)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Night]:
    root = tmp_path_factory.mktemp("nights")
    return [night(root, day, f"{day:08x}") for day in range(1, 4)]


def wrong_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The readout's asymmetry is added where it should be subtracted."""
    right = readout._read
    monkeypatch.setattr(readout, "_read", lambda learned, *rest: right(replace(learned, offset=-learned.offset), *rest))


def half_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard errors are claimed to be half of what they are."""
    right = readout._read

    def mutant(*given):
        found = right(*given)
        return replace(found, variances=found.variances / 4, shared=found.shared / 2)

    monkeypatch.setattr(readout, "_read", mutant)


def fewer_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calibration gets a tenth of its shots."""
    right = readout.ReadoutReader.calibration
    tenth = {"calibration_ratio": 0.1}
    monkeypatch.setattr(readout.ReadoutReader, "calibration", lambda self, plain, given, draw: right(self, plain, tenth, draw))


@pytest.mark.parametrize(
    ("mutate", "channels"),
    [(wrong_offset, {"value"}), (half_error, {"claimed"}), (fewer_shots, {"shots"})],
    ids=["offset", "error", "shots"],
)
def test_a_mutation_is_caught_in_one_night_and_dated(
    clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutate, channels
) -> None:
    mutate(monkeypatch)
    found = compare(night(tmp_path, 5, "0badc0de"), clean)
    assert {move.series[:2] for move in found.moves} == {("ising", "readout")}
    assert channels <= {move.channel for move in found.moves}
    [move] = [move for move in found.moves if move.channel == min(channels)]
    assert (move.since.code, move.until.code) == ("0badc0de", "00000003")
    assert "ising/readout" in move.sentence and "since 2026-11-05, commit 0badc0de" in move.sentence
    assert "before: 2026-11-03, commit 00000003" in move.sentence


def test_a_mutation_of_an_earlier_night_is_dated_to_that_night(clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as mutated:
        wrong_offset(mutated)
        bad = [night(tmp_path, day, "0badc0de") for day in (5, 6)]
    found = compare(bad[1], [*clean, bad[0]])
    assert {move.since.day for move in found.moves} == {date(2026, 11, 5)}


def test_clean_nights_are_quiet(clean) -> None:
    for place in range(1, 3):
        found = compare(clean[place], clean[:place])
        assert found.moves == () and found.unheard == ()
        assert found.tested == 2 * 4


def test_what_becomes_better_is_asked_for_a_new_version(clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as mutated:
        wrong_offset(mutated)
        bad = [night(tmp_path, day, "0badc0de") for day in (1, 2)]
    found = compare(clean[2], bad)
    assert {move.series[1] for move in found.moves} == {"readout"}
    assert not any(move.worse for move in found.moves)
    assert all("give it a new one" in move.sentence for move in found.moves)


def test_a_new_version_starts_a_history_of_its_own(clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_offset(monkeypatch)
    monkeypatch.setattr(readout.ReadoutReader, "version", "2")
    found = compare(night(tmp_path, 5, "0badc0de"), clean)
    assert found.moves == () and found.unheard == ("ising/readout",)


def test_a_night_that_measured_little_is_not_compared_with(clean, tmp_path: Path) -> None:
    measured(replace(SCOPE, circuits=5), tmp_path / "cut")
    cut = Night(date(2026, 10, 31), "cut", tmp_path / "cut")
    assert compare(clean[2], [cut, *clean[:2]]).moves == ()
    assert set(compare(clean[2], [cut]).unheard) == {"ising/readout", "ising/zne-linear"}


def test_nights_come_in_the_order_of_time(tmp_path: Path) -> None:
    for name in ("2026-11-03-aaaaaaaa", "2026-11-01-bbbbbbbb+cccccccc", "2026-11-05-dddddddd", "notes", "2026-11-02-package"):
        (tmp_path / name).mkdir()
    tonight = nights_of.tonight(tmp_path, date(2026, 11, 4), "e" * 40 + "+12345678", [SCOPE])
    assert re.fullmatch("2026-11-04-eeeeeeee\\+12345678-[0-9a-f]{6}", tonight.name)
    found = nights_of.history(tmp_path, tonight, 14)
    assert [each.code for each in found] == ["bbbbbbbb+cccccccc", "package", "aaaaaaaa"]
    assert [each.code for each in nights_of.history(tmp_path, tonight, 1)] == ["aaaaaaaa"]
    assert nights_of.history(tmp_path / "nowhere", tonight, 14) == nights_of.history(tmp_path, tonight, 0) == []
    assert nights_of.seed_of(tonight.day, "e" * 40) != nights_of.seed_of(found[0].day, "e" * 40)


def test_nights_of_one_day_and_commit_are_told_apart_by_what_they_ask_for(tmp_path: Path) -> None:
    day, commit, tiny = date(2026, 11, 4), "e" * 40, replace(SCOPE, circuits=1, backends=("aer_noisy",))
    asked = [[replace(tiny, seed=seed)] for seed in (5, 4, 6)]
    nights = [nights_of.tonight(tmp_path, day, commit, scopes) for scopes in asked]
    assert nights_of.tonight(tmp_path, day, commit, asked[0]) == nights[0]
    for night, [scope] in zip(nights, asked, strict=True):
        measured(scope, night.folder)
        assert set(night.rows["task_id"].to_pylist()) == {row["task_id"] for row in night.rows.to_pylist()}
        assert len(set(night.rows["seed"].to_pylist())) == 1
    for night in reversed(nights):  # a copied or touched folder is not a later night
        os.utime(night.folder)
        (night.folder / "report.html").touch()
    other = nights_of.tonight(tmp_path, day, commit, [replace(tiny, seed=9)])
    assert [night.name for night in nights_of.history(tmp_path, other, 14)] == [night.name for night in nights]
    assert [night.name for night in nights_of.history(tmp_path, nights[1], 14)] == [nights[0].name, nights[2].name]


def test_methods_of_two_copies_get_circuits_and_devices_that_hold_them() -> None:
    scope = replace(SCOPE, families=("ising", "h2-dynamics"), circuits=40, backends=("fake_manila", "aer_noisy"))
    whole, more, copied = nights_of.scopes(scope, ("cdr",), ("vd",), {"fake_manila": 5, "aer_noisy": 12})
    assert whole == scope
    assert (more.methods, more.circuits, more.families) == (("cdr",), 4, scope.families)
    assert (copied.methods, copied.qubits, copied.backends, copied.families) == (("vd",), 4, ("aer_noisy",), ("ising",))
    assert nights_of.scopes(scope, (), ("vd",), {"fake_manila": 5, "aer_noisy": 5}) == [scope]


def test_what_cannot_raise_an_alarm_is_named(clean, tmp_path: Path) -> None:
    assert compare(clean[2], clean[:2]).deaf == ()
    few = [night(tmp_path / "few", day, f"{day:08x}", circuits=1) for day in (1, 2)]
    assert set(compare(few[1], few[:1]).deaf) == {"ising/readout", "ising/zne-linear"}


def test_the_report_says_all_of_it(clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_offset(monkeypatch)
    tonight = night(tmp_path, 5, "0badc0de")
    found = compare(tonight, clean)
    made = report(tonight, found, clean)
    page, document = write(made, tmp_path / "out")
    text = page.read_text()
    for line in lines(tonight.rows):
        assert f"<td>{line.key[1]}</td>" in text and f"{line.error:.4f}" in text and f"{line.raw_error:.4f}" in text
    for move in found.moves:
        assert escape(move.sentence) in text
    for lineage in (*set(tonight.rows["calibration_id"].to_pylist()), tonight.rows["git_commit"][0].as_py(), "pauli-transfer"):
        assert lineage in text
    assert not made.good and "Worse than before: ising/readout." in text and text.count("data:image/svg+xml") == 3
    assert document.read_bytes().startswith(b"%PDF")
    assert report(clean[1], compare(clean[1], clean[:1]), clean[:1]).good


def test_an_extrapolation_to_the_wrong_place_is_caught(clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = zne._polynomial
    monkeypatch.setattr(zne, "_polynomial", lambda scales, *rest: right(scales + 1, *rest))
    found = compare(night(tmp_path, 5, "0badc0de"), clean)
    assert {("ising", "zne-linear")} == {move.series[:2] for move in found.moves}

"""What a night does again under the seed of every night: a change smaller than any noise is named, a new version is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from harness_runs import measured

from em.harness import night as nights_of
from em.harness.night import Night
from em.harness.plan import Scope
from em.harness.regression import compare
from em.methods import readout, zne
from em.methods.samples import Readings

SCOPE = Scope(("ising",), 1, ("raw", "readout", "zne-linear"), (1000,), ("aer_noisy",))


def night(root: Path, day: int) -> Night:
    """Its own results, of other seeds each day, and the replay."""
    folder = root / f"2026-11-{day:02}-{day:08x}"
    scope = replace(SCOPE, seed=day)
    measured(scope, folder)
    for each in nights_of.replayed([scope]):
        measured(each, folder / "replay")
    return Night(date(2026, 11, day), f"{day:08x}", folder)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Night]:
    root = tmp_path_factory.mktemp("nights")
    return [night(root, day) for day in (1, 2)]


def test_clean_nights_replay_alike_whatever_their_own_seeds(clean: list[Night]) -> None:
    one, other = clean
    assert set(one.rows["seed"].to_pylist()) != set(other.rows["seed"].to_pylist())
    assert len(one.replays) and one.replays["estimate"] == other.replays["estimate"]
    assert compare(other, [one]).moves == ()


def smoothing(patch: pytest.MonkeyPatch) -> None:
    """An error of some 1e-4 in a standard error."""
    right = readout._sigma
    patch.setattr(readout, "_sigma", lambda probability, shots: 1.0001 * right(probability, shots))


def shots(patch: pytest.MonkeyPatch) -> None:
    """One calibration shot fewer."""
    right = readout.ReadoutReader.calibration

    def fewer(self: readout.ReadoutReader, plain: object, *rest: object) -> list[object]:
        return [replace(run, shots=run.shots - 1) for run in right(self, plain, *rest)]

    patch.setattr(readout.ReadoutReader, "calibration", fewer)


def unmitigated(patch: pytest.MonkeyPatch) -> None:
    """Another sign of what stands beside the estimate."""
    right = readout.ReadoutReader.read

    def turned(self: readout.ReadoutReader, *given: Any) -> Readings:
        found = right(self, *given)
        return replace(found, raw=-found.raw)

    patch.setattr(readout.ReadoutReader, "read", turned)


@pytest.mark.parametrize("mutate", [smoothing, shots, unmitigated])
def test_a_change_that_no_statistics_sees_is_named_and_dated(
    clean: list[Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutate(monkeypatch)
    (move,) = [move for move in compare(night(tmp_path, 5), clean).moves if move.channel == "replay"]
    assert move.series[:2] == ("ising", "readout") and move.worse
    assert "the same seeds give other results (" in move.sentence
    assert "since 2026-11-05, commit 00000005 (before: 2026-11-02, commit 00000002" in move.sentence


def test_other_defaults_need_a_new_version(clean: list[Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout.ReadoutReader, "defaults", {"calibration_ratio": 2.0})
    (move,) = compare(night(tmp_path, 5), clean).moves
    assert "its parameters went from calibration_ratio=1 to 2 without a new version" in move.sentence


def test_a_new_version_is_not_held_against_the_old(clean: list[Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smoothing(monkeypatch)
    monkeypatch.setattr(readout.ReadoutReader, "version", "2")
    assert compare(night(tmp_path, 5), clean).moves == ()


def test_sums_in_another_order_are_the_same(clean: list[Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = zne._polynomial

    def rounded(*given: object) -> object:
        found, fitted = right(*given)
        return replace(found, value=found.value * (1 + 1e-14)), fitted

    monkeypatch.setattr(zne, "_polynomial", rounded)
    assert compare(night(tmp_path, 5), clean).moves == ()

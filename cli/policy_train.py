"""`quantumai policy train | evaluate`: a model made, judged on what it has not seen, and promoted where it is better."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from cli import screen
from cli.options import Home, settings
from cli.policy_options import HOME, Data, Store, store
from policy.errors import PolicyError
from policy.store import SHIPPED, current, promote, remember

if TYPE_CHECKING:
    from policy.achieved import Achieved
    from policy.evaluation import Figures
    from policy.examples import Examples
    from policy.experience import Experience
    from policy.model import Model
    from schemas.calibration import CalibrationUpdated


def train(
    *,
    data: Data = HOME,
    models: Store = None,
    results: Annotated[Path | None, typer.Option(help="Folder of `em run`, or a night's: learn from its errors, too.")] = None,
    from_topics: Annotated[
        bool, typer.Option("--from-topics", help="Learn from the platform's job.completed and em.measured events, too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of forests and draws.")] = 0,
    ship: Annotated[bool, typer.Option("--ship", help="Put it into the package, in place of the model that ships.")] = False,
    home: Home = None,
) -> None:
    """Train a model, and promote it if it picks better than the present one on devices and days that neither has seen.

    Run it on schedule. With measured errors it also prints, for each backend, achieved against predicted errors: the drift.
    """
    from policy.training import train as fit  # noqa: PLC0415 - scikit-learn takes seconds

    chosen = settings(home)
    root = store(models, chosen)
    console, known = screen.console(), _examples(data)
    seen = _experience(results, from_topics=from_topics)
    if seen is not None:
        _show_drift(root, seen)
    with tempfile.TemporaryDirectory() as drafts:
        folder = Path(drafts) / "model"
        about = {"command": f"quantumai policy train --seed {seed}", "data": "quantumai policy measure --days FOLDER"}
        model = fit(known, seed, folder, seen=seen, about=about, say=console.print)
        held = _held(model, known)
        _finish(folder, model, held)
        _show(held, f"{model.version} on what it has not seen")
        if ship:
            shutil.copytree(folder, SHIPPED, dirs_exist_ok=True)
            typer.echo(f"{model.version} is the model that ships, in {SHIPPED}")
            return
        _promote(root, folder, known, held, chosen.policy_threshold)


def evaluate(
    *,
    data: Data = HOME,
    models: Store = None,
    seed: Annotated[int, typer.Option(help="Of the forests that are fitted without what is held out.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for figures.json and the card.", show_default="the model's own")] = None,
    home: Home = None,
) -> None:
    """Print how near the picks are to the best on families, devices and days that were not learned from, beside the controls.

    Each family is left out once and a model fitted to the others; devices and days were never learned from.
    """
    from policy.evaluation import families, judged, pooled  # noqa: PLC0415 - scikit-learn takes seconds
    from policy.model import load  # noqa: PLC0415

    chosen = settings(home)
    root = store(models, chosen)
    known, console = _examples(data), screen.console()
    calibrated, lines = known.where(known.group == "conformal"), list["Figures"]()
    for family, fitted, judge in families(known):
        console.print(f"without {family}: {len(judge):,} cases", style="dim")
        lines += judged(f"family {family}", fitted, calibrated, judge, seed=seed)
    together = [*pooled(lines, "families, each left out"), *_held(load(current(root)), known)]
    alone = [line for line in lines if line.name == "learned"]
    _show([*together, *alone], "error = mean over all shots of |estimate - ideal|; every method spends the same shots")
    _say_missed(together)
    place = out or current(root)
    place.mkdir(parents=True, exist_ok=True)
    (place / "figures.json").write_text(json.dumps([asdict(line) for line in [*together, *alone]], indent=1) + "\n")
    _write_card(current(root), place, [*together, *alone])
    typer.echo(f"figures and card: {place}")


def _examples(data: Path) -> "Examples":
    from policy.dataset import load  # noqa: PLC0415 - simulation takes seconds to import
    from policy.examples import examples  # noqa: PLC0415

    return examples(load(data))


def _held(model: "Model", known: "Examples") -> "list[Figures]":
    """The figures of a fitted model on devices and days that it has not seen, with controls."""
    from policy.evaluation import controls, measured  # noqa: PLC0415
    from policy.training import FITTED  # noqa: PLC0415

    fitted, found = known.where(np.isin(known.group, FITTED)), []
    for held, group in (("devices", "unseen"), ("days", "late")):
        judge = known.where(known.group == group)
        if len(judge):
            found += [*controls(held, fitted, judge), measured(held, model, judge)]
    return found


def _finish(folder: Path, model: "Model", held: "list[Figures]") -> None:
    """The figures into model.json, and the card."""
    from policy.model import write_description  # noqa: PLC0415

    line = next(line for line in held if line.name == "learned")
    figures = {name: getattr(line, name) for name in ("within", "ratio", "pairs", "top")}
    write_description(folder, {**model.about, "figures": figures})
    _write_card(folder, folder, held)


def _write_card(folder: Path, place: Path, lines: "list[Figures]") -> None:
    from policy.card import card  # noqa: PLC0415
    from policy.model import load  # noqa: PLC0415

    (place / "card.md").write_text(card(load(folder), lines))


def _promote(root: Path, folder: Path, known: "Examples", held: "list[Figures]", threshold: float) -> None:
    """Promotes a model that beats the present one on the same cases, and ranks well enough.

    Raises:
        PolicyError: it does not; the sentence has the figures.
    """
    from policy.model import load  # noqa: PLC0415

    new = [line for line in held if line.name == "learned"]
    try:
        old = [line for line in _held(load(current(root)), known) if line.name == "learned"]
    except PolicyError as error:
        typer.echo(f"the present model cannot be asked ({error}): the new one needs to beat nothing")
        old = []
    before = {line.held: line.ratio for line in old}
    says = "; ".join(
        f"{line.held}: error / least {line.ratio:.4f}" + (f", the present one's {before[line.held]:.4f}" if before else "")
        for line in new
    )
    if any(line.ratio >= before[line.held] for line in new if before):
        raise PolicyError(f"the new model does not beat the present one and is not promoted ({says})")
    if min(line.pairs for line in new) < threshold:
        raise PolicyError(f"the new model ranks too few pairs rightly and is not promoted ({says}; {threshold:.0%} are asked for)")
    typer.echo(f"{promote(root, folder)} is asked now ({says})")


def _experience(results: Path | None, *, from_topics: bool) -> "Experience | None":
    if results is None and not from_topics:
        return None
    from policy.achieved import nightly  # noqa: PLC0415 - simulation takes seconds to import
    from policy.experience import experience  # noqa: PLC0415

    left_out = Counter[str]()
    achieved, calibrations = _from_topics(left_out) if from_topics else ([], _shipped_calibrations())
    if results is not None:
        from em.harness.events import events as measured  # noqa: PLC0415
        from em.harness.store import Store as Results  # noqa: PLC0415

        achieved = [*achieved, *nightly(measured(Results(results).read()), left_out)]
    seen = experience(achieved, calibrations, left_out)
    typer.echo(f"{int(seen.draws.sum()):,} achieved errors are learned from")
    for reason, count in seen.left_out.items():
        typer.echo(f"left out: {count:,} of {reason}")
    return seen


def _from_topics(left_out: Counter[str]) -> "tuple[Iterable[Achieved], Mapping[str, CalibrationUpdated]]":
    from policy.achieved import completed, nightly  # noqa: PLC0415
    from schemas.calibration import CalibrationUpdated as Calibration  # noqa: PLC0415
    from schemas.jobs import JobCompleted, JobRequested  # noqa: PLC0415
    from schemas.mitigation import EmMeasured  # noqa: PLC0415
    from streams.sync_client import SyncClient  # noqa: PLC0415

    with SyncClient(source="/clients/policy") as client:
        calibrations = {each.record.calibration_id: each.record for each in client.records(Calibration)}
        jobs = {each.record.job_id: each.record for each in client.records(JobRequested)}
        achieved = [*nightly((each.record for each in client.records(EmMeasured)), left_out)]
        achieved += completed((each.record for each in client.records(JobCompleted)), jobs, left_out)
    return achieved, calibrations


def _shipped_calibrations() -> "Mapping[str, CalibrationUpdated]":
    from backends import registry  # noqa: PLC0415 - simulators take seconds to import

    names = [name for name in registry.BACKENDS if name.startswith(("fake_", "aer_"))]
    found = (backend.calibration() for backend in registry.load(names).values())
    return {each.calibration_id: each for each in found}


def _show_drift(root: Path, seen: "Experience") -> None:
    from policy.experience import drifts  # noqa: PLC0415
    from policy.model import load  # noqa: PLC0415

    table = screen.table("backend", "runs", "achieved / predicted", "drift", numbers=("runs", "achieved / predicted"))
    found = drifts(load(current(root)), seen)
    for each in found:
        size = f"{each.ratio:.2f} x/ {1 + each.error:.2f}"
        table.add_row(each.backend, str(each.runs), size, "yes" if each.significant else "no")
    remember(root, {each.backend: each.ratio for each in found if each.significant})
    screen.console().print(table)


def _show(lines: "list[Figures]", title: str) -> None:
    from policy.card import HEADINGS, row  # noqa: PLC0415

    table = screen.table(*HEADINGS, title=title, numbers=HEADINGS[2:])
    for line in lines:
        table.add_row(*row(line))
    screen.console().print(table)


def _say_missed(lines: "list[Figures]") -> None:
    from policy.card import missed  # noqa: PLC0415

    for line in lines:
        if line.name == "learned" and missed(line):
            typer.echo(f"missed, {line.held}: {', '.join(missed(line))}")

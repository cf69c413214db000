"""The model card: what a model was made of, how to make it again, and the figures that its evaluation gave."""

from collections.abc import Sequence

from em.learned.cases import CALIBRATIONS, SETTINGS
from em.learned.devices import CONFORMAL, FITTED, MAX_ROTATION, UNSEEN
from em.learned.evaluation import CONTROLS, PHYSICAL, WEAK, Line
from em.learned.model import REGRESSORS, Model
from em.methods.learned import Learned

HEADINGS = (
    "setting",
    "observables",
    "raw",
    WEAK,
    "ml-qem",
    "physical",
    "linear",
    "boosting",
    f"{WEAK} / ml-qem",
    "target",
    "best other / ml-qem",
    "covered",
    "abstained",
)


def row(line: Line) -> tuple[str, ...]:
    """A line of the table as text."""
    target = SETTINGS[line.setting].target if line.setting in SETTINGS else None
    best = min((name for name in CONTROLS if name != "raw"), key=lambda name: line.errors[name])
    return (
        line.setting,
        str(line.observables),
        *(f"{line.errors[name]:.4f}" for name in ("raw", WEAK, "ml-qem", PHYSICAL, "ml-qem-linear", "ml-qem-boosting")),
        f"{line.ratio(WEAK):.2f}",
        "" if target is None else f"{target:.1f} {'met' if line.ratio(WEAK) >= target else 'missed'}",
        f"{line.ratio(best):.2f} {best}",
        f"{line.coverage:.1%}" if line.abstained < 1 else "",
        f"{line.abstained:.0%}",
    )


def card(model: Model, inside: Sequence[Line], outside: Sequence[Line], command: str) -> str:
    """As Markdown."""
    about = model.about
    sizes = ", ".join(f"{name} {value}" for name, value in about["sizes"].items())
    covered = " and ".join(f"{quantile:.2f} ({kind})" for kind, quantile in model.quantiles("forest").items())
    parts = [
        f"# ml-qem, model {about['model_id'][:12]}",
        "A random forest corrects the physical estimate of a Pauli string's expectation value, from the features below. Two more "
        "regressors, ridge regression and gradient boosting, are its controls. `docs/ml-qem.md` explains the method.",
        f"- Made by `{command}`; the same seed gives the same model.\n"
        f"- Fitted to {about['strings']:,} Pauli strings, simulated exactly and sampled ({sizes}), on {', '.join(FITTED)} "
        f"(IBM's snapshots, {CALIBRATIONS - 1} drifted calibrations of each), the settings weighing the same.\n"
        f"- Intervals and novelty threshold calibrated on {', '.join(CONFORMAL)}; measured on {', '.join(UNSEEN)}, with other "
        "circuits and calibrations.\n"
        f"- `coherent`: each pair turns too far by up to {MAX_ROTATION} rad, of which no feature tells.\n"
        f"- {about['coverage']:.0%} intervals: a spread times {covered}. Out of range: a distance above {model.threshold:.2f}.",
        "## Figures",
        "Mean |error| in units of the observable's bound; every control has 10,000 shots for each of its runs, the learned methods "
        f"as many in all as {WEAK}, a sixth of it charged for training. `{PHYSICAL}` is the estimate that the model corrects.",
        _table(inside),
        "Out of range, where the physical estimate stands in:",
        _table(outside),
        "All controls, mean |error|:",
        _errors([*inside, *outside]),
        "## Features",
        "| feature | what it is |\n|---|---|\n" + "\n".join(f"| `{name}` | {says} |" for name, says in about["features"].items()),
        "## Limits",
        "The simulated devices obey the calibration that the features come from, over-rotations apart; a real device drifts "
        "between its calibration and the run. Other families, and circuits of more than 6 qubits, are out of range unless their "
        "features lie among those that were learned from.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(lines: Sequence[Line]) -> str:
    return _markdown(HEADINGS, [row(line) for line in lines])


def _errors(lines: Sequence[Line]) -> str:
    names = [*CONTROLS, *(Learned(regressor).name for regressor in REGRESSORS), PHYSICAL]
    return _markdown(("setting", *names), [(line.setting, *(f"{line.errors[name]:.4f}" for name in names)) for line in lines])


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, ["---"] * len(headings), *rows))

"""The model card, and the table of figures, as text."""

from collections.abc import Sequence

from policy.evaluation import Figures
from policy.features import FEATURES
from policy.model import Model
from policy.places import DEVICES

HEADINGS = ("held out", "choice", "cases", "within 10 %", "error / least", "pairs", "top-1", "ECE", "covered")
TARGETS = {"within": 0.90, "ratio": 1.04, "pairs": 0.95, "calibration": 0.05}
"""What is aimed at: the first and the third at least, the others at most."""


def row(line: Figures) -> tuple[str, ...]:
    """A line of the table as text."""
    return (
        line.held,
        line.name,
        f"{line.cases:,}",
        f"{line.within:.1%}",
        f"{line.ratio:.3f}",
        f"{line.pairs:.1%}",
        f"{line.top:.1%}",
        "" if line.calibration is None else f"{line.calibration:.1%}",
        "" if line.covered is None else f"{line.covered:.1%}",
    )


def missed(line: Figures) -> list[str]:
    """Targets that a line misses, each with the figure."""
    found = []
    for name, target in TARGETS.items():
        value = getattr(line, name)
        met = value is None or (value >= target if name in ("within", "pairs") else value <= target)
        if not met:
            found.append(f"{name} {value:.3f} (target {target:g})")
    return found


def markdown(lines: Sequence[Figures]) -> str:
    """The table as Markdown."""
    cells = [HEADINGS, ["---"] * len(HEADINGS), *(row(line) for line in lines)]
    return "\n".join("| " + " | ".join(each) + " |" for each in cells)


def card(model: Model, lines: Sequence[Figures]) -> str:
    """The card of a model with the figures that its evaluation gave."""
    about = model.about
    sizes = ", ".join(f"{name} {value}" for name, value in about["sizes"].items())
    shortfalls = [f"{line.held}: {', '.join(missed(line))}" for line in lines if line.name == "learned" and missed(line)]
    parts = [
        f"# The policy's model, {model.version}",
        "A random forest corrects the closed form's prediction of each method's error; a small network predicts the overhead, "
        "another forest the chance that the pick is within 10 % of the best. `docs/policy.md` explains the policy.",
        f"- Made by `{about['command']}`, seed {about['seed']} ({sizes}), from what `{about['data']}` measures.\n"
        f"- Fitted to {about['cases']:,} cases (observable x device x budget) x {len(about['methods'])} methods, and to "
        f"{about['learned from measurements']:,} measured errors; devices: {', '.join(DEVICES['fit'])}, and "
        "the first days of ibm_perth where they were given.\n"
        f"- Intervals and the limit of novelty calibrated on {', '.join(DEVICES['conformal'])}; not seen: "
        f"{', '.join(DEVICES['unseen'])}, and ibm_perth's last days.\n"
        f"- {about['coverage']:.0%} intervals reach to {model.quantile:.2f} times the expected error. Out of range: a distance "
        f"above {model.threshold:.2f}, more than {about['limits']['qubits']} qubits or {about['limits']['gates']} two-qubit gates.",
        "## Figures",
        "Error is the mean |estimate - ideal| over all shots, computed and not drawn; all methods spend the same shots, "
        "calibration and folded circuits included. `pairs`: pairs of methods that differ by more than 10 %, ranked rightly. ECE: "
        "of the chance that a pick is within 10 %. `covered`: runs inside the 90 % interval.",
        markdown(lines),
        "Targets (within 10 % 90 %, error / least 1.04, pairs 95 %, ECE 5 %) missed by the learned policy: "
        + ("; ".join(shortfalls) if shortfalls else "none")
        + ".",
        "## Features",
        "| feature | what it is |\n|---|---|\n" + "\n".join(f"| {name} | {says} |" for name, says in FEATURES.items()),
        "## Limits",
        "The simulated devices obey their calibrations: no coherent errors, no cross-talk, no drift between calibration and run. "
        "Methods other than the twelve above are predicted by the closed form alone.",
    ]
    return "\n\n".join(parts) + "\n"

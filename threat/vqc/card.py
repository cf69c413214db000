"""The model card: what a classifier was made of, how to make it again, and its figures beside those of its controls."""

from collections.abc import Sequence

from threat.vqc.learning import Line
from threat.vqc.model import Model


def headings(lines: Sequence[Line]) -> tuple[str, ...]:
    """Of the table."""
    return ("model", *(f"{of}, {figure}" for of in lines[0].accuracy for figure in ("accuracy", "AUC")), "training, s")


def row(line: Line) -> tuple[str, ...]:
    """A line of the table as text."""
    figures = [text for of in line.accuracy for text in (f"{line.accuracy[of]:.4f}", f"{line.auc[of]:.4f}")]
    return (line.name, *figures, f"{line.seconds:.1f}")


def card(model: Model, lines: Sequence[Line], command: str) -> str:
    """As Markdown."""
    about = model.about
    kind = "entangled" if model.architecture.entangled else "without entanglement"
    parts = [
        f"# {model.name}, version {model.version}",
        "A ZZ feature map (one repetition), real amplitudes (three), and the parity of all qubits as the score; "
        f"{model.architecture.qubits} qubits, {model.architecture.weights} weights, {kind}. "
        "`docs/quantum-classifier.md` explains it.",
        f"- Made by `{command}`; the same seed gives the same model, up to the rounding of the machine.\n"
        f"- Data: {about['data']}; {about['events']:,} events learned from, {about['held_out']:,} held out.\n"
        f"- Loss at the end: {about['loss']:.4f} nats an event.",
        "## Figures",
        markdown(headings(lines), [row(line) for line in lines]),
        "## Features",
        "Each feature is cut into bins; a bin adds its evidence to the angle of its qubit.\n\n"
        + "\n".join(f"- qubit {qubit}: {', '.join(_columns(model, qubit))}" for qubit in range(model.architecture.qubits)),
        "## Limits",
        "It says what resembles the attacks that it was shown. The controls have the same events; where one of them is better, "
        "the table says so, and nothing here claims an advantage of the quantum circuit.",
    ]
    return "\n\n".join(parts) + "\n"


def markdown(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *rows))


def _columns(model: Model, qubit: int) -> list[str]:
    return [f"`{name}`" for name, place in zip(model.columns, model.encoding.qubit.tolist(), strict=True) if place == qubit]

"""A simulation's figures as a picture: completion time, fidelity and SLA hits of each policy over the load."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from scheduler.outcome import Line

_PANELS = (("completion_seconds", "mean completion, s"), ("fidelity", "mean achieved fidelity"), ("hits", "SLA hits"))


def plot(found: Mapping[tuple[int, str], Line], path: Path) -> Path:
    """Writes a PNG; returns its path."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(_PANELS))
    for axes, (name, label) in zip(panels, _PANELS, strict=True):
        for policy in dict.fromkeys(policy for _, policy in found):
            points = [(load, getattr(line, name)) for (load, each), line in found.items() if each == policy]
            axes.plot(*zip(*points, strict=True), marker="o", label=policy)
        axes.set_xlabel("load, %")
        axes.set_ylabel(label)
        axes.grid(visible=True, color="#e0e0e0", linewidth=0.6)
    panels[0].set_yscale("log")
    panels[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
    return path

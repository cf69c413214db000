"""What a report draws: accuracy against price, and the nights in a row. Each function fills a figure that it is given."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from em.harness.summary import CONTROL, Line

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31", "#b2182b", "#4d4d4d")
_MARKS = "osD^vP*Xhd"


def styles(methods: Sequence[str]) -> Mapping[str, dict[str, object]]:
    """How each method is drawn, the same in all figures; the control in black and dashed."""
    others = [method for method in methods if method != CONTROL]
    drawn: dict[str, dict[str, object]] = {}
    for place, method in enumerate(others):
        again, colour = divmod(place, len(_COLOURS))
        drawn[method] = {"color": _COLOURS[colour], "marker": _MARKS[(place + again) % len(_MARKS)], "linewidth": 1.4}
        if again:  # every second round is open and dotted
            drawn[method] |= {"markerfacecolor": "white", "linestyle": ":"}
    drawn[CONTROL] = {"color": "black", "marker": "o", "linewidth": 2.2, "linestyle": "--", "zorder": 5}
    return drawn


def price(figure: FigureBase, found: Sequence[Line]) -> None:
    """Mean |error| against the shots and the dollars spent, a line per method. Lines have the key (family, method, budget)."""
    left, right = figure.subplots(1, 2, sharey=True)
    drawn = styles(sorted({line.key[1] for line in found}))
    for method, members in groupby(sorted(found, key=lambda line: line.key[1:]), key=lambda line: line.key[1]):
        points = [line for line in members if line.values]
        for axes, cost in ((left, [line.shots for line in points]), (right, [line.cost_usd for line in points])):
            axes.plot(cost, [line.error for line in points], label=method, markersize=4, **drawn[method])
    for axes, label in ((left, "shots spent per task, calibration included"), (right, "USD per task, by the devices' prices")):
        axes.set(xscale="log", yscale="log", xlabel=label)
        _plain(axes)
    left.set_ylabel("mean |error| / bound")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


def gains(figure: FigureBase, found: Sequence[Line]) -> None:
    """How many times smaller the error is than without mitigation, by family and device; red where mitigation harms.

    Lines have the key (family, backend, method).
    """
    rows = sorted({line.key[:2] for line in found})
    methods = sorted({line.key[2] for line in found} - {CONTROL})
    table = {(line.key[:2], line.key[2]): line.gain for line in found}
    values = np.array([[table.get((row, method), np.nan) for method in methods] for row in rows]).reshape(len(rows), -1)
    axes = figure.subplots()
    image = axes.imshow(np.log2(values), cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if np.isnan(value):
                continue
            dark = abs(np.log2(value)) > 1.8
            axes.text(x, y, f"{value:.1f}x", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(methods)), methods, rotation=25, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), [" / ".join(row) for row in rows], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, ticks=[-3, -2, -1, 0, 1, 2, 3], shrink=0.8)
    bar.ax.set_yticklabels(["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    bar.set_label("raw error / mitigated error")
    bar.outline.set_visible(False)


def nights(figure: FigureBase, names: Sequence[str], errors: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Mean |error| of each method night by night, a panel per family.

    Args:
        names: of the nights.
        errors: family -> method -> a value per night, NaN where it was not measured.
    """
    panels = figure.subplots(1, len(errors), sharey=True, squeeze=False)[0]
    for axes, (family, methods) in zip(panels, errors.items(), strict=True):
        drawn = styles(sorted(methods))
        for method, values in methods.items():
            axes.plot(range(len(names)), values, label=method, markersize=3, **drawn[method])
        axes.set_title(family, fontsize=10)
        axes.set(yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(lambda place, _: names[int(place)][:10] if 0 <= place < len(names) else "")
        axes.tick_params(axis="x", rotation=30)
        _plain(axes)
    panels[0].set_ylabel("mean |error| / bound")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, which="major", color="#e0e0e0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)

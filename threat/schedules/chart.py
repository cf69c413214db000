"""The month as files: a picture, and a table a row a day."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threat.levels import LEVELS

_COLOURS = ("#d9d9d9", "#9ecae1", "#fdd0a2", "#fd8d3c", "#a50f15")
_FEATURES = 12


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """As Parquet."""
    import pyarrow as pa  # noqa: PLC0415 - half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def plot(rows: Sequence[Mapping[str, Any]], report: Mapping[str, Any], title: str, path: Path) -> None:
    """As PNG: findings by level, how often the models disagree, and the features that moved furthest."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (levels, models, moved) = plt.subplots(3, figsize=(10, 10))
    names, bottom = [str(row["day"])[5:] for row in rows], [0] * len(rows)
    for level, colour in zip(LEVELS, _COLOURS, strict=True):
        heights = [row[level.lower()] for row in rows]
        levels.bar(names, heights, bottom=bottom, label=level, color=colour)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    levels.set_title(f"{title}: findings", loc="left", fontsize=10)
    levels.legend(frameon=False, ncols=len(LEVELS), fontsize=8)
    models.plot(names, [float("nan") if row["disagreement"] is None else row["disagreement"] for row in rows], marker="o")
    models.set_title("share of the events on which boosting and the quantum model disagree", loc="left", fontsize=10)
    models.set_ylim(bottom=0)
    furthest = report["drift"][:_FEATURES]
    moved.barh([row["feature"] for row in furthest], [row["psi"] for row in furthest])
    moved.axvline(0.25, color="grey", linestyle=":")
    moved.set_title("population stability index, last days against first", loc="left", fontsize=10)
    moved.invert_yaxis()
    for panel in (levels, models):
        panel.tick_params(axis="x", rotation=90, labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)

"""Options that the policy's commands share."""

from pathlib import Path
from typing import Annotated

import typer

from streams.settings import Settings

HOME = Path(".quantumai/policy/data")

Data = Annotated[Path, typer.Option("--data", help="Folder of the data set; `measure` makes it.")]
Store = Annotated[
    Path | None, typer.Option("--models", help="Folder of the models.", show_default="policy/models in the platform's")
]


def store(models: Path | None, chosen: Settings) -> Path:
    """The folder of the models."""
    return models or chosen.policy_models or chosen.home / "policy" / "models"

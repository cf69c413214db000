"""`quantumai threat train-classical`: makes the model that scores every event, from generated events or from a file of yours."""

from pathlib import Path
from typing import Annotated

import typer

from cli import screen

SHIPPED = Path(__file__).parents[1] / "threat" / "data"
GENERATED = 20_000


def train_classical(
    *,
    events: Annotated[int, typer.Option(help="Events to generate.", min=1000)] = GENERATED,
    seed: Annotated[int, typer.Option(help="Of the events, the held-out ones, boosting and forest.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the model; QUANTUMAI_THREAT_MODEL names it to the agent.")] = Path(
        ".quantumai/threat-model"
    ),
) -> None:
    """Train boosting, baseline and novelty gate on the project's own generated events; a quarter is held out.

    The model that comes with the package: `quantumai threat train-classical --out threat/data`.
    """
    import numpy as np  # noqa: PLC0415 - scikit-learn and its friends take seconds, help shall not wait for them

    from threat import synthetic  # noqa: PLC0415
    from threat.card import classical_card  # noqa: PLC0415
    from threat.features import COLUMNS, features  # noqa: PLC0415
    from threat.feeds.normalise import normalise  # noqa: PLC0415
    from threat.training import train  # noqa: PLC0415

    console = screen.console()
    with console.status(f"generating {events:,} events"):
        made = list(synthetic.events(events, seed, attacks=0.2))
        forms = [synthetic.FORMS[place % len(synthetic.FORMS)] for place in range(events)]
        observed = [
            normalise(synthetic.line(one, form), f"{place}") for place, (one, form) in enumerate(zip(made, forms, strict=True))
        ]
        labels = np.array([one.scenario.technique for one in made])
    with console.status("training"):
        model = train(features(observed), labels, COLUMNS, seed, {"data": f"generated, {events} events, seed {seed}"})
    model.save(out)
    (out / "card.md").write_text(classical_card(model, f"quantumai threat train-classical --events {events} --seed {seed}"))
    table = screen.table("on held-out events", "share", numbers=("share",))
    for name, share in model.about["figures"].items():
        table.add_row(name, f"{share:.2%}")
    console.print(table)
    console.print(f"model {model.version} and its card: {out}")

"""`quantumai policy measure | train | evaluate | explain | models | rollback | serve`: the learned policy."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import screen
from cli.options import Home, settings
from cli.policy_options import HOME, Data, Store, store
from cli.policy_train import evaluate, train
from cli.serving import ClientCa, Host, Names, Plain, Port, TlsCert, TlsKey, serve_over_tls
from policy.errors import PolicyError
from policy.store import SHIPPED, Asked, current, roll_back, versions

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The learned policy: data, training, figures, roll-back.")

Days = Annotated[
    Path | None,
    typer.Option(help="Folder or archive of a real ibm_perth's daily properties: its days are learned from and judged on."),
]


@app.command()
def measure(
    *,
    days: Days = None,
    seed: Annotated[int, typer.Option(help="Of the circuits.")] = 0,
    every: Annotated[int, typer.Option(help="So many-th device is used; 1 for all.", min=1)] = 4,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Every twentieth device, one circuit of each family: a minute.")] = False,
    data: Data = HOME,
) -> None:
    """Make the data set: circuits of all families on many devices, with the true expected error of every method.

    Stop it however you like; started again it goes on. Some five minutes of two cores.
    """
    from policy.dataset import CIRCUITS  # noqa: PLC0415 - simulation takes seconds to import
    from policy.dataset import measure as made  # noqa: PLC0415

    sizes = dict.fromkeys(CIRCUITS, 1) if quick else CIRCUITS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen.console(stderr=True), transient=True) as bar:
        task = bar.add_task("devices", total=None)
        for done, wanted in made(data, seed, days, workers, circuits=sizes, every=20 if quick else every):
            bar.update(task, completed=done, total=wanted)
    typer.echo(f"{wanted} devices measured, in {data}")


app.command()(train)
app.command()(evaluate)


@app.command()
def explain(
    job: Annotated[Path, typer.Argument(help="A job file.")],
    backend: Annotated[str, typer.Option(help="Device.")] = "fake_jakarta",
    models: Store = None,
    home: Home = None,
) -> None:
    """Show what the policy says of a job on a device: every method, the reason, and which features move the choice."""
    from backends import registry  # noqa: PLC0415 - simulators take seconds to import
    from policy.explanation import moved  # noqa: PLC0415
    from policy.recommender import Recommender  # noqa: PLC0415
    from streams.jobfile import load_job  # noqa: PLC0415

    chosen = settings(home)
    asked = Asked(store(models, chosen), chosen.policy, chosen.policy_threshold)
    calibrations = {backend: registry.load((backend,))[backend].calibration()}
    wanted = load_job(job)
    advice = Recommender(calibrations, asked).recommend(wanted)
    if advice.problems or advice.unfit:
        raise PolicyError("; ".join([*advice.problems, *(each.reason for each in advice.unfit)]))
    (best,) = advice.candidates
    headings = ("method", "expected error", "shots / raw's")
    console, table = screen.console(), screen.table(*headings, numbers=headings[1:])
    for score in best.ranking:
        mark = " <" if score.method == best.method else ""
        table.add_row(f"{score.method}{mark}", f"{score.expected_error:.4f}", f"{score.shot_overhead:.1f}")
    console.print(table)
    console.print(f"{best.method} on {best.backend}, by {advice.model_version}: {best.reason}")
    console.print(f"fidelity {best.expected_fidelity:.3f}, from {best.fidelity_low:.3f} with {best.confidence:.0%}")
    found = moved(asked(), wanted, calibrations[backend])
    if found:
        columns = ("feature", "here", "typical", "moves the choice by")
        parts = screen.table(*columns, numbers=columns[1:])
        for each in found[:8]:
            parts.add_row(each.feature, f"{each.value:.3g}", f"{each.typical:.3g}", f"{each.effect:+.1%}")
        console.print(parts)


@app.command("models")
def list_models(models: Store = None, home: Home = None) -> None:
    """List the models that were promoted, the present one marked, with their figures on what they had not seen."""
    from policy.model import described  # noqa: PLC0415 - imports take a second

    chosen = settings(home)
    root = store(models, chosen)
    headings = ("version", "", "within 10 %", "error / least", "pairs", "made by")
    table = screen.table(*headings, numbers=headings[2:5])
    present = current(root)
    for folder in (SHIPPED, *(root / version for version in versions(root))):
        mark = "present" if folder == present else ""
        try:
            about = described(folder)
            figures = about["figures"]
            numbers = (f"{figures['within']:.1%}", f"{figures['ratio']:.3f}", f"{figures['pairs']:.1%}")
            table.add_row(str(about["version"]), mark, *numbers, str(about["command"]))
        except (PolicyError, KeyError, TypeError, ValueError) as error:
            says = str(error) if isinstance(error, PolicyError) else f"{folder}/model.json has no figures"
            table.add_row(folder.name, mark, "", "", "", says)
    screen.console().print(table)


@app.command()
def rollback(models: Store = None, home: Home = None) -> None:
    """Ask the model before the present one again; workers notice at once."""
    chosen = settings(home)
    typer.echo(f"{roll_back(store(models, chosen))} is asked now")


@app.command()
def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8445,
    names: Names = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: ClientCa = None,
    plain: Plain = False,
    home: Home = None,
) -> None:
    """Serve recommendations by REST until Ctrl-C: POST /api/v1/policy/recommend; /metrics for Prometheus.

    Clients need a bearer token (`quantumai token issue --audience policy --role reader`) or, with --client-ca, a certificate that
    clients.json gives roles.
    """
    from api.policy import service  # noqa: PLC0415 - only a service needs it

    chosen = settings(home)
    serve_over_tls(
        service(chosen),
        chosen,
        host,
        port,
        names=names,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        plain=plain,
    )

"""`quantumai threat …`: security events scored, classically and by a quantum classifier."""

import typer

from cli import threat_classical, threat_research, threat_schedules, threat_triage, threat_vqc

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def threat() -> None:
    """Score security events: classically at once, with a quantum second opinion on what is dangerous or new."""


app.command("train")(threat_vqc.train)
app.command("baseline")(threat_vqc.baseline)
app.command("benchmark")(threat_vqc.benchmark)
app.command("train-classical")(threat_classical.train_classical)
app.command("daily")(threat_schedules.daily)
app.command("weekly")(threat_schedules.weekly)
app.command("monthly")(threat_schedules.monthly)
app.command("roll-back")(threat_schedules.roll_back)
app.command("triage")(threat_triage.triage)
app.add_typer(threat_research.app, name="research")

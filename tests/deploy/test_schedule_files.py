"""Cron, systemd and Kubernetes start commands that exist, at times that are behind their periods."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from cli.threat import app
from threat.schedules.period import period

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "schedules"
SCHEDULES = ("daily", "weekly", "monthly")
UNITS = FOLDER / "systemd"


def accepted(arguments: list[str]) -> None:
    """Typer takes these arguments of `quantumai threat`."""
    command: Any = get_command(app)
    with typer.Context(command) as context:
        named = command.commands[arguments[0]]
        named.make_context(arguments[0], arguments[1:], parent=context)


def cron() -> dict[str, tuple[str, list[str]]]:
    lines = [line for line in (FOLDER / "crontab").read_text().splitlines() if re.match(r"[0-9*]", line)]
    rows = [line.split() for line in lines]
    return {row[7]: (" ".join(row[:5]), row[5:]) for row in rows}


def jobs() -> dict[str, dict[str, Any]]:
    return {job["metadata"]["name"].rpartition("-")[2]: job for job in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())}


def test_all_three_name_all_schedules() -> None:
    assert tuple(cron()) == tuple(jobs()) == SCHEDULES
    assert {path.name for path in UNITS.glob("*.timer")} == {f"quantumai-threat-{name}.timer" for name in SCHEDULES}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_commands_are_accepted(schedule: str) -> None:
    _, command = cron()[schedule]
    assert command[:2] == ["quantumai", "threat"]
    accepted(command[2:])
    container = jobs()[schedule]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] == "threat"
    accepted(container["args"][1:])
    (start,) = re.findall(r"^ExecStart=(.*)$", (UNITS / f"quantumai-threat-{schedule}.service").read_text(), re.MULTILINE)
    assert start.split()[1:4] == ["/opt/quantumai/threat/scheduled_quantum_analysis.py", "--period", schedule]
    accepted([schedule, *start.split()[4:]])


def test_cron_and_kubernetes_agree_on_when_and_a_period_is_over_then() -> None:
    at = {"daily": datetime(2026, 11, 24, 0, 15, tzinfo=UTC), "weekly": datetime(2026, 11, 23, 0, 30, tzinfo=UTC)}
    at["monthly"] = datetime(2026, 12, 1, 0, 45, tzinfo=UTC)
    fields = {"daily": "* * *", "weekly": "* * 1", "monthly": "1 * *"}
    for schedule, moment in at.items():
        written = f"{moment.minute} {moment.hour} {fields[schedule]}"
        assert cron()[schedule][0] == jobs()[schedule]["spec"]["schedule"] == written
        assert jobs()[schedule]["spec"]["timeZone"] == "Etc/UTC"
        assert 15 <= (moment - period(schedule, moment).until).total_seconds() / 60 < 60


def test_cron_jobs_have_the_structure_of_batch_v1_and_no_more_rights_than_they_need() -> None:
    for job in jobs().values():
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob") and set(job) == {
            "apiVersion",
            "kind",
            "metadata",
            "spec",
        }
        assert set(job["spec"]) == {"schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds", "jobTemplate"}
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert set(pod) == {"restartPolicy", "securityContext", "containers", "volumes"} and pod["restartPolicy"] == "OnFailure"
        assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
        assert set(container) == {"name", "image", "args", "env", "resources", "securityContext", "volumeMounts"}
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]
        assert all(set(variable) == {"name", "value"} and isinstance(variable["value"], str) for variable in container["env"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_units_and_their_times(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():  # the paths of an installation are not here: a command that is stands for them
        (tmp_path / unit.name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    units = [str(tmp_path / f"quantumai-threat-{name}.{kind}") for name in SCHEDULES for kind in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in SCHEDULES:
        (when,) = re.findall(r"^OnCalendar=(.*)$", (UNITS / f"quantumai-threat-{name}.timer").read_text(), re.MULTILINE)
        shown = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=True).stdout
        minute, hour = cron()[name][0].split()[:2]
        assert f" {int(hour):02}:{int(minute):02}:00 UTC" in shown

"""The compose file and the workflow are what their specifications allow, run every agent, and hold no secret.

The oracle is the compose specification's and GitHub's own JSON schemas, as `check-jsonschema` ships them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import AGENTS
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
ONCE = {"topics", "keys"}


def _check(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.github-workflows", ".github/workflows/nightly.yml"),
    ],
)
def test_files_follow_their_specifications(schema: str, file: str) -> None:
    checked = _check(schema, ROOT / file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_check_finds_a_misspelt_key(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace("read_only:", "readonly:"))
    checked = _check("vendor.compose-spec", broken)
    assert checked.returncode == 1 and "readonly" in checked.stdout


def test_there_is_one_service_per_agent_and_all_run_one_image(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"kafka", *ONCE, *AGENTS}
    assert {service["image"] for service in services.values()} == {"quantumai:${QUANTUMAI_TAG:-local}"}
    assert all(services[agent]["command"] == ["worker", agent] for agent in AGENTS)


def test_every_service_is_confined_and_limited(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service, name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert "user" not in service, f"{name} overrides the image's user"


def test_what_runs_on_is_started_again_and_waited_for(services: dict[str, dict[str, Any]]) -> None:
    assert "answers(9092)" in services["kafka"]["healthcheck"]["test"][-1]
    assert all(services[name]["restart"] == "always" for name in ("kafka", *AGENTS))
    for agent in AGENTS:
        assert services[agent]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
        assert "healthcheck" not in services[agent], "the image's own asks /healthz"
    assert services["topics"]["depends_on"]["kafka"] == {"condition": "service_healthy"}


def test_the_pin_is_a_secret_that_only_the_signing_services_get(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if "secrets" in service} == {"keys", "signer"}
    assert {name for name, service in services.items() if "keys:/var/lib/quantumai" in service.get("volumes", [])} == {
        "keys",
        "signer",
    }
    for name, service in services.items():
        secret = [
            key for key in service["environment"] if re.search(r"PIN|PASSWORD|SECRET|TOKEN_PIN$", key) and not key.endswith("_FILE")
        ]
        assert secret == [], name


def test_every_setting_that_a_service_gets_exists(services: dict[str, dict[str, Any]]) -> None:
    known = {f"QUANTUMAI_{name.upper()}" for name in Settings.model_fields}
    for name, service in services.items():
        assert {key for key in service["environment"] if key.startswith("QUANTUMAI_")} <= known, name


def test_the_example_of_env_names_only_settings_and_holds_no_secret() -> None:
    lines = [line.lstrip("#").strip() for line in (ROOT / ".env.example").read_text().splitlines()]
    values = dict(line.split("=", 1) for line in lines if re.match(r"QUANTUMAI_\w+=", line))
    assert {name.removeprefix("QUANTUMAI_").lower() for name in values} <= set(Settings.model_fields)
    assert values["QUANTUMAI_TOKEN_PIN_FILE"] == "" and "QUANTUMAI_TOKEN_PIN" not in values


def test_the_image_runs_as_nobody_special_and_checks_its_health() -> None:
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == ["10001"]
    assert "/healthz" in last_stage.partition("HEALTHCHECK")[2]
    assert "--require-hashes" in (ROOT / "Dockerfile").read_text()


def test_the_image_holds_every_package_and_nothing_that_lies_about() -> None:
    listed = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in listed if line.startswith("!")}
    packages = {"agents", "backends", "cli", "em", "kms", "policy", "scheduler", "schemas", "streams", "threat"}
    assert "*" in listed and packages <= allowed
    assert not allowed & {".env", ".git", ".quantumai", "build", "tests", "."}


def test_the_workflow_may_only_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads `on` as true

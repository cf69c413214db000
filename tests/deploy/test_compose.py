"""The compose file and the workflow are what their specifications allow, run every agent, and hold no secret.

The oracle is the compose specification's and GitHub's own JSON schemas, as `check-jsonschema` ships them.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
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


@pytest.mark.parametrize("name", ["keys", "topics"])
def test_a_service_that_cannot_do_its_one_thing_says_why_in_a_sentence(
    services: dict[str, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    _, *arguments = services[name]["entrypoint"]
    wrong = {"QUANTUMAI_HOME": str(tmp_path), "QUANTUMAI_PKCS11_MODULE": str(tmp_path / "none"), "QUANTUMAI_BROKERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **wrong}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search("no PKCS#11 module|no Kafka broker answers", done.stderr.splitlines()[-1])


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


def _carried() -> list[str]:
    """What `.dockerignore` lets into the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return [line[1:] for line in lines if line.startswith("!")]


def test_the_image_holds_every_package_and_nothing_that_lies_about() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {pattern.rstrip("*") for pattern in found} <= set(_carried())
    assert not set(_carried()) & {".env", ".git", ".quantumai", "build", "tests", "."}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image has in /app, and beside it, in `packages`, the third-party packages without our own installation."""
    folder = tmp_path_factory.mktemp("image")
    app, packages = folder / "app", folder / "packages"
    for name in _carried():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, app / name)
    [write] = re.findall(r'python -c "(from setuptools.+)"', (ROOT / "Dockerfile").read_text())
    subprocess.run([sys.executable, "-c", write.replace("/opt/metadata", str(app))], cwd=app, capture_output=True, check=True)
    packages.mkdir()
    for place in Path(sysconfig.get_path("purelib")).iterdir():
        if "quantumai" not in place.name:
            (packages / place.name).symlink_to(place)
    return folder


@pytest.mark.parametrize(
    "program",
    [
        "import cli.main; [cli.main._load(name) for name in cli.main.COMMANDS]",
        "import agents; [__import__('agents.' + name) for name in agents.AGENTS]",
        "import streams.serve_broker, streams.make_topics, cli.token",
        "from importlib.metadata import version; from em.completion import software; version('quantumai'), software()",
    ],
)
def test_what_the_image_holds_is_enough_to_run(image: Path, program: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{image / 'app'}:{image / 'packages'}"}
    base = Path(sys.base_prefix) / "bin" / "python3"
    done = subprocess.run([base, "-S", "-c", program], cwd="/tmp", env=environment, capture_output=True, text=True, check=False)  # noqa: S108
    assert done.returncode == 0, done.stderr


def test_the_workflow_may_only_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads `on` as true

"""What the pages tell people to type is typed here, on one platform; and what they name exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, prose
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from cli.dead_letters import app as dead_letters
from cli.kms import app as kms
from cli.main import COMMANDS, app
from policy import metrics as policy_metrics
from streams import metrics
from streams.orphans import MARK
from streams.settings import Settings

QUANTUMAI = Path(sys.executable).with_name("quantumai")
RUN = [page for page in PAGES if any(block.runs for block in blocks(page))]
CLI = CliRunner()
GROUPS = {"dead-letters": dead_letters, "kms": kms}

_COMMAND = re.compile(r"(?<![.\w])quantumai ((?:dead-letters |kms )?[a-z][a-z-]*)")
_VARIABLE = re.compile(r"QUANTUMAI_[A-Z0-9_]+")
_METRIC = re.compile(r"\bquantum(?:ai)?_[a-z_]+")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_TICKED = re.compile(r"`([^`\n]+)`")
_MADE = (".quantumai", "build/", ".venv", "application/")
_FILE = re.compile(r"^[\w.-]+(?:/[\w.*-]+)+/?$|^[\w-]+\.(?:py|md|toml|yml|lock|jsonl?)$|^Makefile$|^Dockerfile$")


def _texts(pattern: re.Pattern[str]) -> set[str]:
    return {found for page in PAGES for found in pattern.findall(page.read_text().replace("\n", " "))}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    """A folder like the root of the repository, with a platform in its .quantumai; yields (folder, environment)."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("examples", "schemas"):
        (folder / name).symlink_to(ROOT / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUMAI_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    try:
        subprocess.run([QUANTUMAI, "up", "--port", "0"], cwd=folder, env=environment, check=True, timeout=150)
        yield folder, environment
    finally:
        subprocess.run([QUANTUMAI, "down"], cwd=folder, env=environment, check=True, timeout=60)


@pytest.mark.parametrize("page", RUN, ids=[page.name for page in RUN])
def test_what_a_page_tells_to_type_works(page: Path, place: tuple[Path, dict[str, str]]) -> None:
    folder, environment = place
    script = "".join(block.script() for block in blocks(page) if block.runs)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_each_page_that_should_be_tried_is() -> None:
    assert {page.name for page in RUN} >= {
        "README.md",
        "get-started.md",
        "submit-a-job.md",
        "verify-an-audit.md",
        "operations.md",
        "events.md",
        "kms.md",
        "manifests.md",
        "error-mitigation.md",
    }


@pytest.mark.parametrize("command", sorted(_texts(_COMMAND)))
def test_each_command_that_is_named_exists(command: str) -> None:
    name, *rest = command.split()
    assert name in COMMANDS
    if rest:
        assert CLI.invoke(GROUPS[name], [*rest, "--help"]).exit_code == 0
    assert CLI.invoke(app, [name, "--help"]).exit_code == 0


def test_each_command_is_named() -> None:
    assert {command.split()[0] for command in _texts(_COMMAND)} == set(COMMANDS)


def test_settings_that_are_named_exist_and_operations_names_all() -> None:
    settings = {f"QUANTUMAI_{name.upper()}" for name in Settings.model_fields}
    compose = set(_VARIABLE.findall((ROOT / "docker-compose.yml").read_text()))
    assert _texts(_VARIABLE) <= settings | compose | {MARK}
    assert settings <= set(_VARIABLE.findall((ROOT / "docs" / "operations.md").read_text()))


def test_defaults_in_the_table_of_settings_are_the_settings_own() -> None:
    rows = re.findall(
        r"^\| `QUANTUMAI_([A-Z0-9_]+)` \| (?:`([^`]*)`)?", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(Settings.model_fields)
    for name, said in rows:
        default = Settings.model_fields[name.lower()].get_default()
        assert said == ("" if default in (None, ()) or name in ("BROKERS", "KAFKA_LIBS") else str(default)), name


def test_metrics_that_are_named_exist_and_operations_names_all() -> None:
    ours = {metric.name: metric.type for metric in REGISTRY.collect() if metric.name.startswith("quantum")}
    assert len(ours) > 10 and {metrics.EVENTS._name, policy_metrics.SECONDS._name} <= set(ours)
    exposed = {name + ("_total" if kind == "counter" else "") for name, kind in ours.items()}
    assert _texts(_METRIC) == exposed
    assert set(_METRIC.findall((ROOT / "docs" / "operations.md").read_text())) == exposed


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_and_files_that_are_named_exist(page: Path, place: tuple[Path, dict[str, str]]) -> None:
    home = place[0] / ".quantumai"
    own = {mark for each in blocks(page) for mark in each.marks.split() if mark.startswith("file=")}
    for link in _LINK.findall(prose(page)):
        assert "://" in link or (page.parent / link).exists(), link
    for word in _TICKED.findall(prose(page).replace("\n", " ")):
        if _FILE.match(word) and not word.startswith(_MADE) and f"file={Path(word).stem}" not in own:
            assert any(list(at.rglob(word.rstrip("/"))) for at in (home, ROOT / "docs", ROOT / "schemas", ROOT)), word


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(_LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/{page.name}" for page in PAGES[1:]} - {"docs/benchmarks.md"} <= linked


def test_each_test_that_is_named_exists() -> None:
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    missing = [name for name in _texts(re.compile(r"`(test_\w+)`")) if f"def {name}(" not in tests]
    assert not missing

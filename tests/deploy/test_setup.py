"""The scripts behind `make setup`: they install nothing that differs from its pin and say what is missing."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JARS = ROOT / "deploy" / "broker" / "jars.sh"


def _run(*command: str | Path, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {**os.environ, **environment}
    if path is not None:
        inherited["PATH"] = f"{path}:{inherited['PATH']}"
    return subprocess.run(command, capture_output=True, text=True, check=False, env=inherited)


def _program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def _broker_folder(folder: Path, pinned: dict[str, bytes]) -> Path:
    """A copy of deploy/broker with pins of its own."""
    copy = folder / "deploy" / "broker"
    shutil.copytree(ROOT / "deploy" / "broker", copy)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in pinned.items()]
    (copy / "jars.sha256").write_text("".join(lines))
    return copy / "jars.sh"


def _maven(folder: Path, jars: dict[str, bytes]) -> Path:
    """A Maven that delivers these jars."""
    (folder / "bin").mkdir()
    store = folder / "store"
    store.mkdir()
    for name, content in jars.items():
        (store / name).write_bytes(content)
    _program(folder / "bin", "mvn", f'for word; do case "$word" in -DoutputDirectory=*) cp {store}/* "${{word#*=}}/";; esac; done')
    return folder / "bin"


@pytest.mark.parametrize(
    ("delivered", "said"),
    [
        ({"a.jar": b"tampered"}, "differs"),
        ({"a.jar": b"right", "evil.jar": b"more"}, "does not know.*evil.jar"),
        ({}, "Maven could not|differs"),
    ],
)
def test_jars_that_are_not_the_pinned_ones_are_not_installed(tmp_path: Path, delivered: dict[str, bytes], said: str) -> None:
    jars = _broker_folder(tmp_path, {"a.jar": b"right"})
    done = _run(jars, tmp_path / "libs", path=_maven(tmp_path, delivered))
    assert done.returncode == 1 and re.search(said, done.stderr), done.stderr
    assert not (tmp_path / "libs").exists()


def test_jars_are_fetched_once_and_again_when_one_was_changed(tmp_path: Path) -> None:
    jars = _broker_folder(tmp_path, {"a.jar": b"right"})
    maven = _maven(tmp_path, {"a.jar": b"right"})
    libs = tmp_path / "libs"
    assert _run(jars, libs, path=maven).returncode == 0 and (libs / "a.jar").read_bytes() == b"right"
    (maven / "mvn").write_text("#!/bin/sh\nexit 1\n")
    assert _run(jars, libs, path=maven).returncode == 0, "nothing to do needs no Maven"
    (libs / "a.jar").write_bytes(b"changed")
    failed = _run(jars, libs, path=maven)
    assert failed.returncode == 1 and "check the network" in failed.stderr


def test_the_jars_here_are_the_pinned_ones() -> None:
    assert _run(JARS).returncode == 0


@pytest.mark.parametrize("version", ["3, 10", "3, 14"])
def test_a_python_that_does_not_fit_is_passed_over(tmp_path: Path, version: str) -> None:
    code = f'import sys; sys.version_info = type("V", (tuple,), {{}})(({version}, 0)); exec(sys.argv[1])'
    _program(tmp_path, "python-unfit", f"exec {shutil.which('python3')} -c '{code}' \"$2\"")
    refused = _run(ROOT / "deploy" / "setup" / "python.sh", PYTHON=str(tmp_path / "python-unfit"))
    assert refused.returncode == 1 and "no Python 3.11, 3.12 or 3.13" in refused.stderr
    chosen = _run(ROOT / "deploy" / "setup" / "python.sh", PYTHON=f"{tmp_path / 'python-unfit'} python3")
    assert chosen.returncode == 0 and Path(chosen.stdout.strip()).is_file()


def test_where_packages_are_missing_and_nothing_can_install_them_they_are_named(tmp_path: Path) -> None:
    for tool in ("bash", "sed", "head", "sort", "cut", "ls", "dirname", "env", "cat"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    _program(tmp_path, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    done = subprocess.run(
        [ROOT / "deploy" / "setup" / "debian.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "default-jre-headless" in done.stderr and "no apt-get" in done.stderr


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    listed = re.findall(r"^  make (\w+)", _run("make", "-C", str(ROOT), "--no-print-directory").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())

"""The command as a whole: help at once, one sentence for what is expected, meaningful exit status."""

import shutil
import subprocess
import sys
import time
from collections import namedtuple

import pytest
import typer
from typer.testing import CliRunner

from cli.main import COMMANDS, _load, app
from streams.broker import free_port
from streams.platform_status import PlatformStatus


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(quantumai, flag):
    said = quantumai(flag)
    assert said.exit_code == 0
    for name in COMMANDS:
        assert f" {name} " in said.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_loads_and_explains_itself(quantumai, name):
    said = quantumai(name, "-h")
    assert said.exit_code == 0
    assert f"quantumai {name}" in said.stdout.replace("root", "quantumai")
    assert _load(name).help


def test_no_arguments_at_all_is_help(quantumai):
    assert "submit" in quantumai().stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("submit",),
        ("tail",),
        ("tail", "job.routed", "--from", "yesterday"),
        ("jobs", "--since", "12"),
        ("replay", "job.routed", "--to", "2026-13-01"),
        ("verify", "a.avro", "--from", "1h"),
        ("dead-letters", "retry"),
        ("dead-letters", "retry", "1:1", "--all"),
        ("worker", "nobody"),
        ("up", "--agents", "policy,nobody"),
        ("up", "--port", "99999"),
        ("up", "--metrics-port", "-1"),
    ],
)
def test_misuse_is_exit_status_2(quantumai, arguments):
    said = quantumai(*arguments)
    assert said.exit_code == 2
    assert "Traceback" not in said.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs",),
        ("topics",),
        ("tail", "job.routed"),
        ("tail", "unheard-of"),
        ("replay", "job.routed"),
        ("replay", "job.routed", "--into", "copy"),
        ("result", "job-1"),
        ("cancel", "job-1"),
        ("export", "x.avro"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "0:0"),
        ("dead-letters", "retry", "--all"),
    ],
)
def test_a_broker_that_is_down_is_one_sentence_on_stderr(quantumai, monkeypatch, arguments):
    monkeypatch.setenv("QUANTUMAI_BROKERS", f"127.0.0.1:{free_port()}")
    started = time.monotonic()
    said = quantumai(*arguments)
    assert time.monotonic() - started < 12
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith("quantumai: no Kafka broker answers at 127.0.0.1:")
    assert "`quantumai up`" in said.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [("QUANTUMAI_BROKERS", "nonsense", "is no host:port"), ("QUANTUMAI_PARTITIONS", "0", "partitions: ")],
)
def test_a_setting_that_cannot_be_is_one_sentence(quantumai, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    said = quantumai("jobs")
    assert (said.exit_code, words in said.stderr, said.stderr.count("\n")) == (1, True, 1)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (PermissionError(13, "Permission denied", "keys.db"), "keys.db: Permission denied"),
    ],
)
def test_what_the_operating_system_refuses_is_said_without_its_number(quantumai, monkeypatch, error, sentence):
    def refused(*_):
        raise error

    monkeypatch.setattr("cli.platform.ask", refused)
    said = quantumai("status")
    assert (said.exit_code, said.stderr) == (1, f"quantumai: {sentence}\n")


@pytest.mark.parametrize(("wish", "coloured"), [("1", False), ("", True)])
def test_who_wants_no_colour_gets_none(quantumai, monkeypatch, wish, coloured):
    monkeypatch.setenv("NO_COLOR", wish)
    monkeypatch.setenv("QUANTUMAI_PARTITIONS", "0")
    said = CliRunner().invoke(app, ["status"], color=True)
    assert said.exit_code == 1 and ("\x1b" in said.stderr) == coloured


def test_a_full_disk_is_said_before_a_token_is_half_made(quantumai, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**6, 10**6))
    said = quantumai("up", "--port", "0")
    assert (said.exit_code, "is full" in said.stderr, said.stderr.count("\n")) == (1, True, 1)
    assert not (tmp_path / "home").exists()


def test_ctrl_c_while_it_starts_says_what_goes_on(quantumai, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.platform.start", interrupted)
    said = quantumai("up")
    assert said.exit_code == 130 and "`quantumai down` stops it" in said.stderr


def test_what_a_killed_supervisor_left_behind_stands_in_the_status(quantumai, monkeypatch, tmp_path):
    monkeypatch.setattr("cli.platform.ask", lambda folder: PlatformStatus(tmp_path, running=False, left=7))
    said = quantumai("status")
    assert said.exit_code == 1 and "was killed and 7 processes" in said.stdout and "`quantumai down` ends them" in said.stdout


def test_an_unexpected_error_is_not_hidden(quantumai, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("streams.platform_status.status", broken)
    monkeypatch.setattr("cli.platform.ask", broken)
    assert isinstance(quantumai("status").exception, ZeroDivisionError)


def test_the_module_can_be_run_and_nothing_heavy_is_imported_for_help():
    heavy = ("qiskit", "aiokafka", "pydantic", "rich.live", "pkcs11")
    program = f"import sys; import cli.main; print([module for module in {heavy} if module in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    done = subprocess.run([sys.executable, "-m", "cli.main", "nope"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


def test_the_table_of_commands_names_functions_that_exist():
    for name in COMMANDS:
        assert isinstance(_load(name), typer.core.TyperCommand | typer.core.TyperGroup)

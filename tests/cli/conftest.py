"""Runs the command as a user does, against a real broker."""

import asyncio

import pytest
from fake_pipeline import pipeline
from typer.testing import CliRunner

from cli.main import app


@pytest.fixture
def quantumai(monkeypatch, tmp_path):
    """Runs one command with its own empty home; the result has exit_code, stdout and stderr."""
    monkeypatch.setenv("QUANTUMAI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def on(quantumai, broker, monkeypatch):
    """The same, on the session's broker."""
    monkeypatch.setenv("QUANTUMAI_BROKERS", broker.bootstrap)
    return quantumai


@pytest.fixture
def publish(broker):
    """Calls a coroutine function with a pipeline that stands in for the agents."""

    def publish(work, log=None, at=None):
        async def run():
            async with pipeline(at or broker.bootstrap, log) as agents:
                return await work(agents)

        return asyncio.run(run())

    return publish

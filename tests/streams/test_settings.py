"""Settings come from the environment, `.env` and the running platform; secrets do not leak."""

import json
import os
from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.settings import DEFAULT_BROKERS, Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("QUANTUMAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_environment_beats_dotenv_and_dotenv_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("QUANTUMAI_PARTITIONS=8\nQUANTUMAI_ORIGIN=from.dotenv\nUNRELATED=1\n")
    monkeypatch.setenv("QUANTUMAI_PARTITIONS", "16")
    settings = Settings.load()
    assert (settings.partitions, settings.origin, settings.retention_days) == (16, "from.dotenv", 30)


def test_brokers_are_those_of_the_platform_in_home_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings.load().brokers == DEFAULT_BROKERS
    (tmp_path / "platform.json").write_text(json.dumps({"brokers": "127.0.0.1:40123"}))
    assert Settings.load(home=tmp_path).brokers == "127.0.0.1:40123"
    monkeypatch.setenv("QUANTUMAI_BROKERS", "kafka-1:9092,kafka-2:9092")
    assert Settings.load(home=tmp_path).brokers == "kafka-1:9092,kafka-2:9092"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BROKERS", "kafka", "host:port"),
        ("BROKERS", "kafka:99999", "host:port"),
        ("PARTITIONS", "0", "partitions"),
        ("METRICS_PORT", "many", "metrics_port"),
    ],
)
def test_an_impossible_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"QUANTUMAI_{name}", value)
    with pytest.raises(SettingsError, match=said):
        Settings.load()


def test_a_dotenv_that_is_no_text_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"QUANTUMAI_PARTITIONS=\xff")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        Settings.load()


def test_backends_are_a_comma_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUMAI_BACKENDS", "fake_lima, fake_brisbane,")
    assert Settings.load().backends == ("fake_lima", "fake_brisbane")


def test_the_pin_comes_from_a_file_or_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("314159\n")
    settings = Settings.load(token_pin_file=tmp_path / "pin")
    assert settings.pin() == "314159"
    monkeypatch.setenv("QUANTUMAI_TOKEN_PIN", "271828")
    settings = Settings.load()
    assert settings.pin() == "271828"
    assert "271828" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_pin_that_is_missing_is_said(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pin").write_text(content)
    with pytest.raises(SettingsError, match="PIN"):
        Settings.load(token_pin_file=tmp_path / "pin").pin()


def test_no_pin_or_two_pins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="QUANTUMAI_TOKEN_PIN_FILE"):
        Settings.load().pin()
    with pytest.raises(SettingsError, match="keep one"):
        Settings.load(token_pin="1", token_pin_file=tmp_path / "pin").pin()


def test_neither_concurrency_nor_a_processing_guarantee_is_offered() -> None:
    assert not {"concurrency", "processing_guarantee"} & set(Settings.model_fields)

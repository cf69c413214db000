"""Faust's pitfalls that a setting decides (numbers as in docs/architecture.md): each is set, or refused at the start."""

import pytest

from benchmarks.chain import CHAIN
from streams.errors import SettingsError
from streams.faust_app import SESSION_SECONDS, create, refuse_unsafe_environment


@pytest.fixture
def app():
    return create(CHAIN["first"], "127.0.0.1:1", owners=None)


@pytest.mark.parametrize("variable", ["PROCESSING_GUARANTEE", "PRODUCER_THREADED", "STREAM_ACK_EXCEPTIONS"])
def test_what_would_lose_or_double_events_is_refused_by_name(variable):
    with pytest.raises(SettingsError, match=f"{variable} is set.*Unset it"):
        refuse_unsafe_environment({variable: "1"})


def test_the_environment_cannot_change_the_app(monkeypatch):
    monkeypatch.setenv("BROKER_SESSION_TIMEOUT", "60")
    monkeypatch.setenv("CONSUMER_AUTO_OFFSET_RESET", "latest")
    conf = create(CHAIN["first"], "127.0.0.1:1", owners=None).conf
    assert conf.broker_session_timeout == SESSION_SECONDS
    assert conf.consumer_auto_offset_reset == "earliest"


def test_pitfalls_1_2_7_10_are_settled_by_settings(app):
    assert [agent.concurrency for agent in app.agents.values()] == [1]
    assert not app.in_transaction
    assert app.conf.broker_session_timeout == SESSION_SECONDS <= 10
    assert not app.conf.topic_allow_declare
    assert app.conf.topic_disable_leader
    assert not app.conf.web_enabled
    assert not app.conf.web_tables_enabled


async def test_pitfall_13_the_group_reads_committed_records_only(app):
    consumer = app.consumer
    assert consumer._thread._create_worker_consumer(app.transport)._isolation_level == "read_committed"


async def test_faust_commits_nothing_by_itself(app):
    consumer = app.consumer
    consumer._commit = pytest.fail  # what Faust's own commit would call
    assert await consumer.commit() is True

"""Brokers for all tests: real ones, each on a free port in a temporary folder.

| fixture | lives | for tests that |
|---|---|---|
| `broker` | the whole session | use consumer groups and keys of their own and do not count what is in a topic |
| `fresh_broker` | one module | need empty topics, or stop and kill the broker |
"""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from streams.admin import ensure_topics
from streams.broker import LocalBroker

PARTITIONS = 4

os.environ.pop("COLUMNS", None)  # pytest-xdist tells its workers of a terminal that they do not have

# No deadlines: how long an example takes says how busy the machine is.
settings.register_profile("same", deadline=None, derandomize=True)  # the same examples every time, so that a change is judged alone
settings.register_profile("explore", deadline=None)  # new ones every night
settings.load_profile("same")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    yield from _with_topics(tmp_path_factory)


@pytest.fixture(scope="module")
def fresh_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    yield from _with_topics(tmp_path_factory)


def _with_topics(folders: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    with LocalBroker(folders.mktemp("broker")) as broker:
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS, retention_days=30))
        yield broker

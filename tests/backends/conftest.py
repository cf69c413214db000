"""The stand-in for IBM's cloud, and an environment that leads to it."""

from collections.abc import Iterator

import pytest
from ibm_cloud import Cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with Cloud() as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        yield cloud

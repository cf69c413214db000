"""Agents for tests, run as processes: `python -m tests.streams.sample_agents NAME GROUP`."""

import asyncio
import os
import sys
import time
from collections import Counter

from schemas.errors import InputError, OutageError
from schemas.jobs import JobCancel
from schemas.manifests import KmsAudit
from schemas.record import Record
from streams import faust_app, worker
from streams.agent import Agent
from streams.settings import Settings

_calls: Counter[str] = Counter()


def copy(cancel: JobCancel) -> KmsAudit:
    return KmsAudit(kid=cancel.job_id, actor=cancel.cancelled_by, action="copy", outcome="SUCCESS", algorithm="none")


def slow(cancel: JobCancel) -> KmsAudit:
    time.sleep(0.01)
    return copy(cancel)


def moody(cancel: JobCancel) -> Record:
    """Fails twice for `twice…`, always for `never…`, and refuses `refuse…` as the input's fault."""
    _calls[cancel.job_id] += 1
    if cancel.job_id.startswith("twice") and _calls[cancel.job_id] <= 2:
        raise ConnectionError("try me again")
    if cancel.job_id.startswith("never"):
        raise ConnectionError("I never work")
    if cancel.job_id.startswith("refuse"):
        raise InputError("this input can never be handled")
    return copy(cancel)


def outage(cancel: JobCancel) -> Record:
    raise OutageError("the token is gone")


HANDLERS = {"copy": copy, "slow": slow, "moody": moody, "outage": outage}


async def _never(_: faust_app.App) -> None:
    await asyncio.Event().wait()


def main() -> int:
    name, group = sys.argv[1:]
    if "TEST_NEVER_JOINS" in os.environ:
        faust_app.App.start = _never
    worker.READY_SECONDS = float(os.environ.get("TEST_READY_SECONDS", worker.READY_SECONDS))
    agent = Agent(group, reads=[JobCancel], writes=[KmsAudit], handle=HANDLERS[name])
    return worker.run(agent, Settings.load())


if __name__ == "__main__":
    sys.exit(main())

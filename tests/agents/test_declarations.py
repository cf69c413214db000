"""Each agent reads and writes what the design's picture of the flow says, and nothing is missing between two of them."""

from pathlib import Path

import pytest

from agents import AGENTS, build
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobCancel, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.threats import ThreatEscalated, ThreatObserved, ThreatScored
from streams.agent import Agent
from streams.errors import DeclarationError, SettingsError
from streams.settings import Settings
from streams.views import HeldByKey, LastHeld, LatestByKey

FLOW = {
    "calibration": ({CalibrationUpdated}, {CalibrationUpdated}, {(LatestByKey, CalibrationUpdated)}, set()),
    "policy": ({JobRequested}, {EmRecommended}, {(LatestByKey, CalibrationUpdated)}, set()),
    "scheduler": (
        {EmRecommended, CalibrationUpdated},
        {JobRouted},
        {(LatestByKey, CalibrationUpdated), (LatestByKey, JobStatus)},
        {JobRouted},
    ),
    "executor": ({JobRouted}, {JobStatus, JobCompleted}, {(HeldByKey, JobStatus), (LatestByKey, JobCancel)}, {JobCompleted}),
    "signer": ({ManifestRequested}, {ManifestSigned, LogCheckpoint}, {(LastHeld, LogCheckpoint)}, set()),
    "threat": (
        {ThreatObserved},
        {ThreatScored, ThreatEscalated, JobRequested, JobCancel},
        {(HeldByKey, ThreatEscalated), (LatestByKey, JobCompleted), (LatestByKey, JobRouted)},
        {ThreatScored},
    ),
}
"""Agent -> what it reads, writes, views, and attests."""


@pytest.fixture
def settings(tmp_path):
    return Settings.load(home=tmp_path)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_reads_and_writes_what_the_design_says(name, settings):
    agent = build(name, settings)
    assert isinstance(agent, Agent) and agent.name == name
    reads, writes, views, attested = FLOW[name]
    assert (set(agent.reads), set(agent.writes)) == (reads, writes)
    assert {(type(view), view.kind) for view in agent.views} == views
    assert set(agent.attest) == attested


def test_the_page_about_events_names_every_agent_that_writes_or_reads_a_topic():
    page = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")]
    written, read = ({row[1].strip("`"): row[column] for row in rows if len(row) == 8} for column in (4, 5))
    for agent, (reads, writes, views, attested) in FLOW.items():
        for kind in writes | ({ManifestRequested} if attested else set()):
            assert agent in written[kind.topic], f"{agent} writes {kind.topic}"
        for kind in reads | {kind for _, kind in views}:
            assert agent in read[kind.topic], f"{agent} reads {kind.topic}"


def test_there_is_an_agent_behind_every_step_from_request_to_signed_manifest(settings):
    written = {JobRequested, CalibrationUpdated}
    for agent in (build(name, settings) for name in ("policy", "scheduler", "executor")):
        assert set(agent.reads) <= written
        written |= set(agent.writes) | ({ManifestRequested} if agent.attest else set())
    assert set(build("signer", settings).reads) <= written


@pytest.mark.parametrize("name", AGENTS)
def test_what_an_agent_holds_of_its_own_stays_in_the_partition_of_its_input(name, settings):
    """Else another worker would restore it."""
    agent = build(name, settings)
    held = {view.kind for view in agent.views if isinstance(view, HeldByKey | LastHeld)}
    assert held <= set(agent.same_partition)


def test_an_unknown_agent_is_refused_with_those_there_are(settings):
    with pytest.raises(DeclarationError, match=r"no agent 'oracle': choose one of calibration, policy, .*signer"):
        build("oracle", settings)


class TestSigner:
    @pytest.fixture(autouse=True)
    def _nothing_set(self, monkeypatch, tmp_path):
        for name in ("PKCS11_MODULE", "TOKEN_PIN", "TOKEN_PIN_FILE"):
            monkeypatch.delenv(f"QUANTUMAI_{name}", raising=False)
        monkeypatch.chdir(tmp_path)  # no .env

    @staticmethod
    def start(tmp_path, **values):
        """Building must not open the token: a module is loaded in the worker's process, when it starts."""
        start = build("signer", Settings.load(home=tmp_path, **values)).start
        assert start is not None
        start()

    def test_without_a_module_it_says_what_to_set(self, tmp_path):
        with pytest.raises(SettingsError, match=r"no PKCS#11 module is set: .*QUANTUMAI_PKCS11_MODULE"):
            self.start(tmp_path)

    def test_without_a_pin_it_says_what_to_set(self, tmp_path):
        with pytest.raises(SettingsError, match="no PIN for the token: set QUANTUMAI_TOKEN_PIN_FILE"):
            self.start(tmp_path, pkcs11_module=tmp_path / "module.so")

    def test_a_pin_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(SettingsError, match=r"the PIN file .*/pin cannot be read"):
            self.start(tmp_path, pkcs11_module=tmp_path / "module.so", token_pin_file=tmp_path / "pin")

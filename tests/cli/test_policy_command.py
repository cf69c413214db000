"""quantumai policy, as a user types it: models listed and rolled back, and what is wrong with those that cannot be asked."""

import shutil

import pytest

from policy.store import SHIPPED, promote


@pytest.fixture
def promoted(tmp_path):
    """The folder of a model that was promoted in the home of the commands: that which ships, once more."""
    store = tmp_path / "home" / "policy" / "models"
    return store / promote(store, SHIPPED)


def test_a_model_that_is_gone_does_not_hide_the_others(quantumai, promoted):
    shutil.rmtree(promoted)
    result = quantumai("policy", "models")
    assert result.exit_code == 0
    assert result.stdout.count(promoted.name) >= 2
    assert f"there is no model in {promoted}" in result.stdout


def test_a_model_without_figures_is_listed_and_said(quantumai, promoted):
    (promoted / "model.json").write_text('{"version": "x"}')
    assert "has no figures" in quantumai("policy", "models").stdout


def test_rollback_leads_back_to_the_model_that_ships_and_no_further(quantumai, promoted):
    assert f"{promoted.name} is asked now" in quantumai("policy", "rollback").stdout
    result = quantumai("policy", "rollback")
    assert result.exit_code == 1
    assert "nothing was promoted" in result.stderr


def test_rollback_passes_over_what_cannot_be_asked(quantumai, promoted):
    promote(promoted.parent, SHIPPED)
    pointer = promoted.parent / "current"
    pointer.write_text("gone\n" + pointer.read_text())
    assert quantumai("policy", "rollback").exit_code == 0
    assert pointer.read_text() == f"gone\n{promoted.name}\n"
    assert quantumai("policy", "rollback").exit_code == 0
    assert pointer.read_text() == ""


def test_an_unknown_policy_is_refused_in_one_sentence(quantumai, monkeypatch, tmp_path):
    monkeypatch.setenv("QUANTUMAI_POLICY", "nope")
    (tmp_path / "job.json").write_text('{"circuits": ["OPENQASM 3.0; qubit[1] q;"]}')
    result = quantumai("policy", "explain", tmp_path / "job.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "unknown policy 'nope': known are learned and closed-form" in result.stderr

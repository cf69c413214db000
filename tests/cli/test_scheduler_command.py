"""`quantumai scheduler`: simulations that are kept and can be gone on with, and refusals in a sentence."""

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from scheduler.outcome import line

CLI = CliRunner()
QUICK = ("--days", "0.05", "--loads", "60", "--policies", "score-v1,fcfs")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return folder, CLI.invoke(app, ["scheduler", "simulate", "synthetic", *QUICK, "--out", str(folder)])


def test_a_simulation_leaves_a_table_a_plot_and_its_jobs_with_the_seed(simulated):
    folder, done = simulated
    assert done.exit_code == 0, done.output
    assert "score-v1" in done.output and "fcfs" in done.output and "seed 0" in done.output
    assert (folder / "simulated.png").read_bytes().startswith(b"\x89PNG")
    files = sorted(folder.glob("*.parquet"))
    assert len(files) == 2
    for file in files:
        jobs = pq.read_table(file)
        assert jobs.schema.metadata[b"seed"] == b"0"
        assert len(jobs) > 10 and len(set(jobs["job_id"].to_pylist())) == len(jobs)
        assert 0.8 < line(jobs).fidelity <= 1.0
        assert jobs["fidelity"].to_pylist() != jobs["expected_fidelity"].to_pylist()  # achieved, not predicted


def test_what_is_there_is_not_simulated_again(simulated):
    folder, first = simulated
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.parquet")}
    again = CLI.invoke(app, ["scheduler", "simulate", "synthetic", *QUICK, "--out", str(folder)])
    assert again.exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*.parquet")} == before
    assert again.output.splitlines()[-6:-2] == first.output.splitlines()[-6:-2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("synthetic", "--policies", "slowest"), "unknown scoring policy 'slowest': known are score-v1"),
        (("none.avro",), "none.avro cannot be read"),
        (("synthetic", "--calibrations", "none.tar"), "none.tar is no tar file of calibrations"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_a_sentence(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    done = CLI.invoke(app, ["scheduler", "simulate", *arguments])
    assert done.exit_code == 1
    assert words in done.output.replace("\n", " ")

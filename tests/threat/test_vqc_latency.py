"""`quantumai threat benchmark`: every job in Parquet, times that add up, a plot, and mitigation that helps."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).parents[2]


def test_every_job_is_measured_and_its_times_add_up(tmp_path: Path) -> None:
    options = ["--backends", "fake_manila", "--levels", "1", "--jobs", "2", "--shots", "256", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, ["threat", "benchmark", *options, "--samples", str(ROOT / "examples" / "threats")])
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "latency.parquet").to_pylist()
    assert [row["backend"] for row in rows] == ["numpy"] * 2 + ["fake_manila"] * 8
    for row in rows[2:]:
        parts = row["submit_seconds"] + row["queue_seconds"] + row["execute_seconds"]
        assert parts == pytest.approx(row["total_seconds"], abs=0.05)
        assert row["two_qubit_gates"] >= 21
    assert {row["method"]: row["shots"] for row in rows[2:]} == {
        "raw": 256,
        "trex": 512,
        "zne-linear": 768,
        "trex-zne-linear": 1024,
    }
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert "T-REx and ZNE" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--levels", "4"], "no transpile levels"), (["--backends", "nowhere"], "nowhere"), (["--samples", "/none"], "samples")],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(options: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["threat", "benchmark", "--samples", str(ROOT / "examples" / "threats"), *options])
    assert result.exit_code != 0
    assert says in result.output

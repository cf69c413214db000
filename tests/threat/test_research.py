"""The research track: each quantum method against an independent oracle, each command beside its control, on small problems."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import Operator, Statevector
from scipy.linalg import expm
from typer.testing import CliRunner

from cli.main import app
from threat.errors import DataError
from threat.research import kernel, subgroups, walk
from threat.vqc.circuit import Architecture
from threat.vqc.labelled import generated

GRAPHS = Path(__file__).parents[3] / "shared" / "data" / "graphs"


def test_the_fidelity_kernel_is_qiskits() -> None:
    angles = np.random.default_rng(0).uniform(2, 4, (4, 3))
    states = [Statevector(Architecture(3).feature_map.assign_parameters(row)) for row in angles]
    expected = [[abs(first.inner(second)) ** 2 for second in states] for first in states]
    assert kernel.fidelity(3, 1.0)(angles, angles) == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("name", list(kernel.KERNELS))
def test_nystrom_is_exact_between_landmarks(name: str) -> None:
    angles = np.random.default_rng(1).uniform(2, 4, (40, 4))
    exact = kernel.KERNELS[name](4, 0.7)
    features = kernel.nystrom(exact, angles)(angles)
    assert features @ features.T == pytest.approx(exact(angles, angles), abs=1e-6)


def test_all_patterns_are_judged_as_by_counting() -> None:
    draw = np.random.default_rng(2)
    held, labels = draw.random((300, 5)) < 0.6, (draw.random(300) < 0.4).astype(float)
    found = subgroups.qualities(held, labels)
    for pattern in range(32):
        covered = held[:, [bit for bit in range(5) if pattern >> bit & 1]].all(axis=1)
        assert found[pattern] == pytest.approx(covered.mean() * (labels[covered].mean() - labels.mean()) if covered.any() else 0)


def test_the_qaoa_circuit_is_its_simulation() -> None:
    found = subgroups.problem(generated(500, 1), 6)
    ising = subgroups.Ising.of(found)
    state = Statevector(ising.circuit(0.7, 0.4)).data
    assert abs(np.vdot(state, subgroups.amplitudes(ising.energies(), 0.7, 0.4))) == pytest.approx(1)


def test_the_ising_model_is_the_quality_up_to_pairs() -> None:
    found = subgroups.problem(generated(500, 1), 6)
    energies = subgroups.Ising.of(found).energies()
    few = [pattern for pattern in range(64) if pattern.bit_count() <= 2]
    ratio = energies[few[1]] / found.quality[few[1]]
    assert energies[few] == pytest.approx(ratio * found.quality[few])


def test_controls_stand_beside_qaoa() -> None:
    line = subgroups.compare(generated(800, 1), 10, shots=50, draws=20)
    assert line.random <= line.qaoa <= 1
    assert line.beam <= 1
    with pytest.raises(DataError, match="2 to 20"):
        subgroups.problem(generated(100, 1), 40)


def test_the_walk_is_expm_and_its_circuit_nears_it() -> None:
    graph = walk.history(walk.generated(8, 4, 1).matrices)
    exact = np.abs(expm(-1j * graph)) ** 2
    assert walk.walk(graph) == pytest.approx(exact, abs=1e-12)
    assert walk.heat(graph) == pytest.approx(expm(graph), abs=1e-12)
    distances = [walk.distance(graph, steps) for steps in (1, 2, 4)]
    assert distances[1] < 5e-3
    assert all(later < earlier / 3 for earlier, later in pairwise(distances))  # second order
    assert np.abs(Operator(walk.circuit(graph, 4)).data) ** 2 == pytest.approx(exact, abs=5e-3)


def test_a_graph_that_is_none_is_named(tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", '{"nodes": 2, "snapshots": [[[0, 5]]]}')):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        with pytest.raises(DataError, match=rf"{number}\.json"):
            walk.read(path)
    short = tmp_path / "short.json"
    short.write_text(json.dumps({"nodes": 3, "snapshots": [[[0, 1]], [[1, 2]]]}))
    with pytest.raises(DataError, match="2 snapshots"):
        walk.compare("short", walk.read(short))


@pytest.mark.skipif(not GRAPHS.is_dir(), reason="needs ../shared/data/graphs")
def test_on_real_graphs_the_walk_beats_the_published_figure_and_ties_the_heat_kernel() -> None:
    line = walk.compare("enron10", walk.read(GRAPHS / "enron10.json.gz"))
    assert line.auc["quantum walk"] > 0.9315
    assert line.auc["quantum walk"] == pytest.approx(line.auc["heat kernel"], abs=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["kernel", "--rows", "200", "--landmarks", "40", "--qubits", "3"], "fidelity, nystrom 40"),
        (["subgroups", "--selectors", "8", "--draws", "5"], "beam search"),
        (["walk"], "total variation distance"),
    ],
)
def test_one_command_each(options: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["threat", "research", *options])
    assert result.exit_code == 0, result.output
    assert says in result.output

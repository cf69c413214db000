"""The quantum classifier's engine against SamplerQNN and Aer in one run: scores a second, agreement, training, gradients.

Run: python -m benchmarks.vqc [--qubits 4,6,8] [--events 200000] [--epochs 60] [--training-events 20000]. Set
OPENBLAS_NUM_THREADS=1 for scores of one core.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_machine_learning.neural_networks import SamplerQNN
from qiskit_machine_learning.primitives import QMLSampler

from threat.vqc.circuit import Architecture, Floats
from threat.vqc.engine import Engine, engine
from threat.vqc.gradient import parameter_shift, scores_and_pull
from threat.vqc.sampling import measured, sampled
from threat.vqc.training import Settings, fit

SLOW_EVENTS = 200
"""For what scores a few hundred events a second."""

SHOTS = 1024


def rate(score: Callable[[Floats], object], angles: Floats, rounds: int = 3) -> float:
    """Events a second of CPU time, the best of some rounds: what else runs on the machine does not count."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        score(angles)
        best = min(best, time.process_time() - began)
    return len(angles) / best


def references(architecture: Architecture, weights: Floats) -> dict[str, Callable[[Floats], Floats]]:
    """What others offer, each a function from angles to probabilities of odd parity."""
    network = SamplerQNN(
        circuit=architecture.circuit,
        input_params=architecture.feature_map.parameters,
        weight_params=architecture.ansatz.parameters,
        interpret=lambda outcome: outcome.bit_count() % 2,
        output_shape=2,
        sampler=QMLSampler(),
    )
    circuit, parity = architecture.bound(weights), SparsePauliOp(architecture.parity)
    counted, sampler = measured(architecture, weights), AerSampler()
    estimator = AerEstimator(options={"backend_options": {"method": "statevector", "max_parallel_threads": 1}})
    return {
        "SamplerQNN (statevector)": lambda angles: network.forward(angles, weights)[:, 1],
        f"Aer SamplerV2, {SHOTS} shots": lambda angles: sampled(sampler, counted, angles, SHOTS),
        "Aer EstimatorV2, exact": lambda angles: (
            (1 - estimator.run([(circuit, parity, angles)], precision=0).result()[0].data.evs) / 2
        ),
    }


def scoring(architecture: Architecture, events: int, draw: np.random.Generator) -> None:
    """The table of one width."""
    made, weights = engine(architecture), draw.uniform(-np.pi, np.pi, architecture.weights)
    angles = draw.uniform(0, 2 * np.pi, (events, architecture.qubits))
    few = angles[:SLOW_EVENTS]
    ours = made.scores(few, weights)
    others = references(architecture, weights)
    control = rate(others["SamplerQNN (statevector)"], few, 1)
    print(f"\n{architecture.qubits} qubits{'':27} scores/s   x SamplerQNN   largest difference from ours in float64")
    rows: list[tuple[str, float, Floats]] = [
        (
            f"ours, {dtype.__name__}",
            rate(lambda of, kind=dtype: made.scores(of, weights, kind), angles),
            made.scores(few, weights, dtype),
        )
        for dtype in (np.float32, np.float64)
    ]
    rows += [(name, control if "QNN" in name else rate(score, few, 1), score(few)) for name, score in others.items()]
    for name, found, scores in rows:
        print(f"{name:30}{found:14,.0f}{found / control:15,.1f}   {np.abs(scores - ours).max():.1e}")


def training(architecture: Architecture, events: int, epochs: int, draw: np.random.Generator) -> None:
    """Adam on adjoint gradients; labels that the circuit can learn."""
    angles = draw.uniform(2, 4, (events, architecture.qubits))
    labels = (angles[:, 0] * angles[:, 1] > 9 + draw.normal(0, 0.3, events)).astype(float)
    began, cpu = time.perf_counter(), time.process_time()
    fitted = fit(architecture, angles, labels, Settings(epochs=epochs, batch=2_500, starts=1))
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{architecture.qubits} qubits, {epochs} epochs over {events:,} events: {wall:.2f} s, {used:.2f} s CPU; "
        f"loss {fitted.losses[0]:.3f} -> {fitted.losses[-1]:.3f}"
    )


def gradients(made: Engine, draw: np.random.Generator) -> None:
    """The sweep against parameter shift, and what each costs for 100 events."""
    angles = draw.uniform(0, 2 * np.pi, (100, made.architecture.qubits))
    weights, slope = draw.uniform(-np.pi, np.pi, made.architecture.weights), draw.normal(size=100)
    waves = made.waves(angles)
    began = time.process_time()
    adjoint = scores_and_pull(made, waves, weights)[1](slope)
    between = time.process_time()
    shifted = slope @ parameter_shift(made, angles, weights)
    ended = time.process_time()
    print(
        f"{made.architecture.qubits} qubits: |adjoint - parameter shift| <= {np.abs(adjoint - shifted).max():.1e} (target 1e-8); "
        f"{(between - began) * 1e3:.1f} against {(ended - between) * 1e3:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", default="4,6,8")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--training-events", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    widths = [Architecture(int(width)) for width in options.qubits.split(",")]
    for architecture in widths:
        scoring(architecture, options.events, np.random.default_rng(7))
    print("\ntraining")
    for architecture in widths:
        training(architecture, options.training_events, options.epochs, np.random.default_rng(8))
    print("\ngradients, float64")
    for architecture in widths:
        gradients(engine(architecture), np.random.default_rng(9))


if __name__ == "__main__":
    main()

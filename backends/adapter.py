"""What every backend offers, and what it is asked to run."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from backends.errors import WorkRefusedError
from backends.forecast import Forecast
from schemas.calibration import CalibrationUpdated, Price

Fold: TypeAlias = Literal["global", "gate", "layer"]


@dataclass(frozen=True, slots=True)
class Run:
    """One circuit execution: a body, how often it is folded, and how it is read.

    Bodies are transpiled once; folding and basis changes then act on the device's own gates, so that a scale factor
    multiplies exactly the noise that the plain run has, and many runs cost one transpilation.

    Attributes:
        body: index into `Work.bodies`.
        shots: >= 1; an adapter repeats the circuit where its device takes fewer at a time.
        scale: how often the noise acts: 1 runs the body as it is, more folds it; 0 leaves it out and reads the same
            physical qubits in |0>. Global folding takes odd whole numbers, the others any number from 1 on.
        basis: a letter per qubit, the rightmost for qubit 0: X, Y or Z is read in that basis, I is not read.
            Empty: the body's own measurements are read.
        flips: qubits that are flipped by an X gate just before they are read.
        fold: what is folded, see `backends.folding`: the whole body, each gate, or each layer.
        twirl: the seed of a Pauli twirl of the two-qubit gates (`backends.frames`); None for none.
        decoupling: the pulses that fill idle times, a key of `backends.decoupling.SEQUENCES`; empty for none.
        pec: the seed of one sample of probabilistic error cancellation (`backends.cancellation`), whose sign and cost come
            back in `Result.weights`; None for none.
        paulis: strings, read in this basis, whose noise the calibration shall foretell (`backends.forecast`); it comes back
            in `Result.forecasts`.
    """

    body: int
    shots: int
    scale: float = 1
    basis: str = ""
    flips: tuple[int, ...] = ()
    fold: Fold = "global"
    twirl: int | None = None
    decoupling: str = ""
    pec: int | None = None
    paulis: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise WorkRefusedError(f"a run needs at least one shot, got {self.shots}")
        if self.fold == "global" and (self.scale < 0 or (self.scale and self.scale % 2 != 1)):
            raise WorkRefusedError(f"a scale must be 0 or odd, since global folding scales by 2n + 1; got {self.scale}")
        if self.scale != 0 and not 1 <= self.scale < float("inf"):
            raise WorkRefusedError(f"a scale must be 0, or a number from 1 on; got {self.scale}")
        if self.basis and not set(self.basis) - {"I"} <= {"X", "Y", "Z"}:
            raise WorkRefusedError(f"a basis has a letter I, X, Y or Z per qubit, got {self.basis!r}")


@dataclass(frozen=True, slots=True)
class Work:
    """What is submitted as one vendor job. The same work gives the same counts, where the backend is a simulator.

    Attributes:
        bodies: OpenQASM 3 sources.
        runs: what to execute, in this order.
        seed: of every random draw while sampling.
        transpiler_seed: of the layout and routing search.
        optimization_level: Qiskit's, 0 to 3; from 2 on the layout looks at the calibration.
    """

    bodies: tuple[str, ...]
    runs: tuple[Run, ...]
    seed: int
    transpiler_seed: int = 0
    optimization_level: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What came back.

    Attributes:
        counts: per run, bit string -> times seen. With a `basis`, a character per qubit that was read, the rightmost
            for the lowest; else a character per classical bit, the rightmost for the first declared.
        execution_seconds: time on the device; a simulator says what the device would have taken (`backends.timing`).
        cost_usd: by the backend's price.
        calibration_id: the snapshot that it ran under.
        weights: per run, what its counts are multiplied by: other than 1 for samples of error cancellation only. Empty
            where all are 1.
        forecasts: per run, what was asked for by `Run.paulis`, None where nothing was. Empty where no run asked.
    """

    counts: tuple[dict[str, int], ...]
    execution_seconds: float
    cost_usd: float
    calibration_id: str
    weights: tuple[float, ...] = ()
    forecasts: tuple[Forecast | None, ...] = ()


class Backend(Protocol):
    """A device or simulator. No method waits for a run: `result` tells when it is over, and never waits for anything."""

    @property
    def name(self) -> str:
        """The key of its calibrations."""

    def calibration(self) -> CalibrationUpdated:
        """What the device is today."""

    def price(self) -> Price:
        """What a run costs."""

    def submit(self, work: Work, tag: str) -> str:
        """Starts the work and returns the vendor's job id; the tag's earlier job, if there is one, and starts nothing.

        Raises:
            WorkRefusedError: the work can never run here.
            BackendError: not now; try again.
        """

    def attach(self, tag: str) -> str | None:
        """The vendor's job id of a tag submitted earlier, by whatever process; None if the vendor has no such job."""

    def result(self, vendor_job_id: str) -> Result | None:
        """The result, or None while it runs. It may be asked for again.

        Raises:
            WorkRefusedError: the work can never run here.
            BackendError: the run failed or is unknown; submitting it again may help.
        """

    def cancel(self, vendor_job_id: str) -> None:
        """Stops the job if it still can be stopped; no error if it is over or unknown."""

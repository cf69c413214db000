"""What can go wrong in the scheduler. A job that nothing can run is no exception: it is a REJECTED decision."""


class SchedulerError(Exception):
    """The root of this room's errors."""


class UnknownScoringError(SchedulerError):
    """A scoring policy that does not exist."""


class TenantsError(SchedulerError):
    """The file of tenants cannot be used."""


class WorkloadError(SchedulerError):
    """A workload that cannot be simulated."""

"""Tenants: what share each has, and how much of theirs may be under way at once. Read from a JSON file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from scheduler.errors import TenantsError
from schemas.codec import explain
from schemas.record import NonNegative, Part


class Tenant(Part):
    """One tenant's share and quotas."""

    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Its share, in proportion to the other tenants' weights."""
    max_open_jobs: Annotated[int, Field(ge=0)] | None = None
    """Jobs that may be under way at once; None: any number."""
    max_open_usd: NonNegative | None = None
    """Price of the jobs that may be under way at once, USD; None: any."""


EQUAL = Tenant()
"""Whoever is not in the file, and has no `*` in it: weight 1, no quota."""

ANYBODY = "*"

_TENANTS = TypeAdapter(dict[str, Tenant])


def load(path: Path) -> Mapping[str, Tenant]:
    """Tenant -> share and quotas; the name `*` stands for all that are not listed.

    Raises:
        TenantsError: the file cannot be read, or what is wrong in it.
    """
    try:
        return _TENANTS.validate_python(json.loads(path.read_text()))
    except OSError as error:
        raise TenantsError(f"the tenants' file {path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise TenantsError(f"the tenants' file {path} cannot be used: {explain(error)}") from error
    except ValueError as error:
        raise TenantsError(f"the tenants' file {path} is no JSON: {error}") from error


def tenant(tenants: Mapping[str, Tenant], name: str) -> Tenant:
    """The tenant's own row, that of anybody, or an equal share."""
    return tenants.get(name) or tenants.get(ANYBODY) or EQUAL

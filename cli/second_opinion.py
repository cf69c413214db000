"""`--cross-check`: every post-quantum signature is judged by two implementations."""

from typing import Annotated

import typer
from rich.console import Console

from kms.cross_check import cross_checked, second_opinions, unchecked
from kms.trust import TrustRoot

CrossCheck = Annotated[
    bool,
    typer.Option(
        "--cross-check", help="Let a second implementation judge each post-quantum signature, too: liboqs ML-DSA, ours SLH-DSA."
    ),
]


def doubly(trust: TrustRoot, out: Console) -> TrustRoot:
    """The trust root whose keys ask two implementations; says which algorithms have but one.

    Raises:
        SecondOpinionMissing: there is no second one here, and what to do.
    """
    doubled = cross_checked(trust)
    used = {key.algorithm for key in trust.keys}
    out.print(f"two implementations judge {', '.join(name for name in second_opinions() if name in used)}")
    if alone := unchecked(trust):
        out.print(f"[yellow]one implementation alone judges {', '.join(alone)}[/]")
    return doubled

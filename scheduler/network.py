"""The network as a graph of links with the suites of each: the shortest path that satisfies a crypto mode from end to end."""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise

from scheduler.crypto import satisfies
from schemas.calibration import Hop, Route
from schemas.jobs import CryptoMode

SOURCE = "control-plane"
"""The node at which every path begins."""

NAME = "network"
"""The name of a route that was found in the graph; the named ones are the operator's."""


class Network:
    """Links between nodes; each leads one way.

    Args:
        links: of all backends together; the same link named twice offers the suites of both.
    """

    def __init__(self, links: Iterable[Hop] = ()) -> None:
        self._links: dict[str, dict[str, tuple[str, ...]]] = {}
        for link in links:
            known = self._links.setdefault(link.source, {})
            known[link.target] = tuple(dict.fromkeys((*known.get(link.target, ()), *link.suites)))
        self._reached: dict[CryptoMode, Mapping[str, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._links)

    def route(self, mode: CryptoMode, target: str) -> Route | None:
        """The path with the fewest links all of which satisfy the mode; of equally short ones the first by its nodes' names."""
        if mode not in self._reached:
            self._reached[mode] = self._search(mode)
        before = self._reached[mode]
        if target not in before:
            return None
        nodes = [target]
        while nodes[-1] != SOURCE:
            nodes.append(before[nodes[-1]])
        nodes.reverse()
        hops = tuple(Hop(source=one, target=other, suites=self._links[one][other]) for one, other in pairwise(nodes))
        return Route(name=NAME, hops=hops)

    def _search(self, mode: CryptoMode) -> Mapping[str, str]:
        """Node -> the node before it, by breadth-first search over the links that satisfy the mode."""
        before: dict[str, str] = {}
        waiting = deque([SOURCE])
        while waiting:
            node = waiting.popleft()
            for target, suites in sorted(self._links.get(node, {}).items()):
                if target != SOURCE and target not in before and satisfies(mode, suites):
                    before[target] = node
                    waiting.append(target)
        return before

"""A mapping as data: which field of a source becomes which of OCSF. Compiled once into straight-line code, since it runs per line.

OCSF: https://schema.ocsf.io/1.4.0, classes 4001 (Network Activity) and 3002 (Authentication).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from threat.errors import LineError

Event: TypeAlias = dict[str, Any]
Map: TypeAlias = Callable[[Event], Event]
Kind = Literal["any", "number", "seconds", "first"]

NETWORK, AUTHENTICATION = 4001, 3002

LONGEST_SECONDS = 1e12
"""What takes longer is no duration: thirty thousand years."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row: absent in the source, absent in the event.

    Attributes:
        to: where it goes, a path with dots: `src_endpoint.ip`.
        of: the source's path, each step a key; keys may contain dots themselves, hence a tuple for more than one step.
        kind: what it must be (`number`), or how it is turned: `seconds` into OCSF's milliseconds, `first` of a list.
        by: words to numbers; what is not in it, and what is absent, becomes `default`.
        default: see `by`.
    """

    to: str
    of: str | tuple[str, ...]
    kind: Kind = "any"
    by: Mapping[Any, int] | None = None
    default: int | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The source's path."""
        return (self.of,) if isinstance(self.of, str) else self.of


_KINDS: Mapping[Kind, tuple[str, ...]] = {  # {v} is the value, {of} its name
    "any": (),
    "number": ("if type({v}) is not int and type({v}) is not float: raise wrong({of!r}, {v}, 'a number')",),
    "seconds": (
        "if type({v}) is not int and type({v}) is not float: raise wrong({of!r}, {v}, 'a number of seconds')",
        "if not -LONGEST < {v} < LONGEST: raise wrong({of!r}, {v}, 'a duration')",
        "{v} = round({v} * 1000)",
    ),
    "first": (
        "if type({v}) is not list: raise wrong({of!r}, {v}, 'a list')",
        "{v} = {v}[0] if {v} else None",
    ),
}


SHAPES = 256
"""Of a source: each set of keys has a function of its own, up to here, so that nobody can make us compile for ever."""


def compiled(fields: Sequence[Field], constants: Mapping[str, Any], rename: Callable[[str], str] = str) -> Map:
    """The function that makes an OCSF event of a source's.

    Args:
        fields: the rows.
        constants: paths in the event and what always stands there, such as `class_uid`.
        rename: how this shape of the source writes a key.
    """
    general, shapes = _function(fields, constants, rename), dict[tuple[str, ...], Map]()

    def mapped(source: Event) -> Event:
        keys = tuple(source)
        special = shapes.get(keys)
        if special is None:
            special = general
            if len(shapes) < SHAPES:
                there = [field for field in fields if field.by is not None or rename(field.steps[0]) in source]
                special = shapes[keys] = _function(there, constants, rename)
        return special(source)

    return mapped


def _function(fields: Sequence[Field], constants: Mapping[str, Any], rename: Callable[[str], str]) -> Map:
    names: dict[str, Any] = {"wrong": _wrong, "LONGEST": LONGEST_SECONDS, "NOTHING": {}}
    lines = ["def mapped(source):"]
    parents: dict[tuple[str, ...], str] = {(): "source"}
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for number, field in enumerate(fields):
        *above, last = (rename(step) for step in field.steps)
        lines += _opened(tuple(above), parents)
        value, parent = f"v{number}", parents[tuple(above)]
        lines.append(f"    {value} = {parent}.get({last!r})")
        convert = [line.format(v=value, of=".".join(field.steps)) for line in _KINDS[field.kind]]
        if convert:
            lines += [f"    if {value} is not None:", *(f"        {line}" for line in convert)]
        if field.by is not None:
            names[f"by{number}"] = dict(field.by)
            lines.append(f"    try: {value} = by{number}.get({value}, {field.default})")
            lines.append(f"    except TypeError: {value} = {field.default}")
        targets[field.to].append(value)
    lines += [*_built(targets, constants, names), "    return event"]
    exec("\n".join(lines), names)  # noqa: S102 - our own tables, nothing from outside
    made: Map = names["mapped"]
    return made


def _opened(path: tuple[str, ...], parents: dict[tuple[str, ...], str]) -> list[str]:
    """Statements that take the objects on the way to a field, each once; what is no object there holds nothing."""
    lines = []
    for depth in range(1, len(path) + 1):
        step = path[:depth]
        if step not in parents:
            parents[step] = name = f"p{len(parents)}"
            lines.append(f"    {name} = {parents[step[:-1]]}.get({step[-1]!r})")
            lines.append(f"    if type({name}) is not dict: {name} = NOTHING")
    return lines


def _built(targets: Mapping[str, list[str]], fixtures: Mapping[str, Any], names: dict[str, Any]) -> list[str]:
    """Statements that build the event; the first of several sources that is there counts."""
    groups: defaultdict[str, list[tuple[str, list[str]]]] = defaultdict(list)
    fixed: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for path, values in targets.items():
        group, _, name = path.rpartition(".")
        groups[group].append((name, values))
    for path, value in fixtures.items():
        group, _, name = path.rpartition(".")
        fixed[group][name] = value
    lines = []
    for group in sorted({*groups, *fixed, *_above({*groups, *fixed})}, key=lambda group: (group.count("."), group)):
        target = _variable(group)
        constants = {name: f"{target}_{name}" for name in fixed[group]}
        names |= {constants[name]: value for name, value in fixed[group].items()}
        literal = ", ".join(f"{name!r}: {constant}" for name, constant in constants.items())
        lines.append(f"    {target} = {{{literal}}}")
        for name, (first, *others) in groups[group]:
            lines.append(f"    if {first} is not None: {target}[{name!r}] = {first}")
            lines += [f"    elif {other} is not None: {target}[{name!r}] = {other}" for other in others]
    for group in sorted({*groups, *fixed, *_above({*groups, *fixed})} - {""}, key=lambda group: (-group.count("."), group)):
        above, _, name = group.rpartition(".")
        lines.append(f"    if {_variable(group)}: {_variable(above)}[{name!r}] = {_variable(group)}")
    return lines


def _above(groups: set[str]) -> set[str]:
    return {group[:place] for group in groups for place, letter in enumerate(group) if letter == "."} | {""}


def _variable(group: str) -> str:
    return "event" if not group else "e_" + group.replace(".", "_")


def _wrong(of: str, value: object, wanted: str) -> LineError:
    return LineError(f"its {of} is {repr(value)[:40]}, which is not {wanted}")

"""One document of JSON or YAML, read in the only way that it can be read: no name twice, no alias, no NaN, not above a limit."""

import json
from collections.abc import Callable
from typing import IO, Any

import yaml

from kms.errors import MalformedDocument

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


class _Strict(yaml.SafeLoader):
    """YAML 1.1's safe subset without what would make one text mean more than it shows.

    An alias can make a kilobyte expand to gigabytes; a time, once read, is not the text that was signed.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, unless it is an alias."""
        if self.check_event(yaml.AliasEvent):
            raise MalformedDocument("the YAML has an alias (*…), which may expand without end: write out what it stands for")
        return super().compose_node(parent, index)


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[str, Any]:
    return _once(
        [(loader.construct_object(name, deep=True), loader.construct_object(value, deep=True)) for name, value in node.value]
    )


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping)
_Strict.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(source: IO[bytes]) -> Any:
    """The document that a stream holds. A text that begins with a brace is JSON, any other YAML.

    Raises:
        MalformedDocument: it is neither, a name stands twice, or it has more than 16 MiB: that is the largest that is read.
    """
    text = source.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument(
            f"the document has more than {MAX_DOCUMENT_BYTES:,} bytes, the most that is read; a whole log goes into a file of "
            "`quantumai export`, which is verified as a stream"
        )
    if text.lstrip().startswith(b"{"):
        return read_json(text)
    return _parsed("YAML", lambda: yaml.load(text.decode(), _Strict))  # noqa: S506 - a safe loader


def read_json(text: bytes) -> Any:
    """The document of JSON.

    Raises:
        MalformedDocument: it is none, or a name stands twice.
    """
    return _parsed("JSON", lambda: json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_number))


def write(document: Any, form: str) -> str:
    """The document as `json` or `yaml`; reading it again gives what was written."""
    if form == "yaml":  # in ASCII: YAML takes U+0085 and its like for the end of a line
        return yaml.safe_dump(document, sort_keys=False, width=10_000)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _parsed(form: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, MalformedDocument):
            raise
        what = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise MalformedDocument(f"this is no {form}: {what}") from None


def _once(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise MalformedDocument(f"the name {name!r} is no text: put it in quotes")
        if name in found:
            raise MalformedDocument(f"the name {name!r} stands twice in one place")
        found[name] = value
    return found


def _no_number(text: str) -> Any:
    raise MalformedDocument(f"{text} is no number of JSON")

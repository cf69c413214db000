"""What the documentation holds: pages, fenced blocks, links, and words in backticks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*) ?(.*)$")
_EXPECTED = re.compile(r"\s+# exit status (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: of its opening fence, from 1.
        language: the first word of the info string.
        marks: the other words: `run` is executed against a platform, `file=NAME` is taken up by a test of its own.
    """

    page: Path
    line: int
    language: str
    marks: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return "run" in self.marks.split()

    def script(self) -> str:
        """The block as bash lines; the first command with another exit status than is said ends the shell and is named."""
        return _python(self) if self.language == "python" else "".join(_checked(*command, self) for command in _commands(self))


def blocks(page: Path) -> Iterator[Block]:
    opened, lines = None, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number, fence[1], fence[2]), []
        elif opened is not None and line == "```":
            yield Block(page, *opened, "\n".join(lines) + "\n")
            opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"{page}: a fence is not closed"


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def block(page: str, name: str) -> str:
    """The text of the block of `page` that is marked `file=name`."""
    [found] = [each.text for each in blocks(ROOT / page) if f"file={name}" in each.marks.split()]
    return found


def _commands(block: Block) -> Iterator[tuple[str, int]]:
    """(command, expected exit status) of the lines that begin with `$ `; what else stands there is output, shown for people."""
    lines = block.text.splitlines()
    for index, line in enumerate(lines):
        if line.startswith("$ "):
            command = line[2:]
            for more in lines[index + 1 :]:
                if not more.startswith("> "):
                    break
                command += f"\n{more[2:]}"
            expected = _EXPECTED.search(command)
            yield _EXPECTED.sub("", command), int(expected[1]) if expected else 0


def _checked(command: str, status: int, block: Block) -> str:
    return f'{command}\nseen=$?; [ $seen -eq {status} ] || {{ echo "{block.place}: exit status $seen, not {status}"; exit 99; }}\n'


def _python(block: Block) -> str:
    return _checked(f"python - <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK", 0, block)

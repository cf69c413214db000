"""Seeded bugs: small changes of the mitigation code, one expression each. None of that code is imported here."""

import ast
import copy
import importlib.util
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UNHEARD = {"__init__.py", "method.py", "learned.py"}
"""Of `em/methods`: nothing to mutate, or methods that no night runs."""


FILES = (
    *sorted(f"em/methods/{path.name}" for path in (ROOT / "em/methods").glob("*.py") if path.name not in UNHEARD),
    "em/near_clifford.py",
    "em/observables.py",
    *(f"backends/{name}.py" for name in ("folding", "frames", "cancellation", "decoupling", "waits", "preparation")),
)
SKIPPED = {"check", "parameters", "__post_init__", "cost"}
"""Functions that only refuse bad input or forecast a price: no result depends on them."""


@dataclass(frozen=True)
class Mutant:
    """One changed line of one file."""

    file: str
    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")


_OTHER_OPERATOR = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult}
_OTHER_COMPARISON = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(kind, what stands instead) for an expression."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OTHER_OPERATOR:
        kind = "wrong sign" if isinstance(node.op, ast.Add | ast.Sub) else "wrong operator"
        yield kind, ast.BinOp(node.left, _OTHER_OPERATOR[type(node.op)](), node.right)
        yield "lost term" if kind == "wrong sign" else "lost factor", node.left
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "wrong sign", node.operand
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "wrong condition", node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OTHER_COMPARISON:
        yield "wrong condition", ast.Compare(node.left, [_OTHER_COMPARISON[type(node.ops[0])]()], node.comparators)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed":
        yield "order kept", node.args[0]
    if isinstance(node, ast.Call) and len(node.args) == 2 and not any(isinstance(item, ast.Starred) for item in node.args):
        yield "arguments swapped", ast.Call(node.func, node.args[::-1], node.keywords)
    if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield "pair swapped", ast.Tuple(node.elts[::-1], ast.Load())


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else super().visit(node)


def mutants(file: str) -> list[Mutant]:
    """All of a file."""
    text = (ROOT / file).read_text()
    tree = ast.parse(text)
    found = []
    for node in _expressions(tree):
        for kind, new in changes(node):
            changed = ast.unparse(_with(text, node, new))
            found.append(Mutant(file, node.lineno, kind, ast.unparse(node), ast.unparse(new), changed))
    return found


def _with(text: str, node: ast.expr, new: ast.expr) -> ast.Module:
    """The module with one expression changed: found again in a fresh tree by its place and its kind."""
    tree = ast.parse(text)
    place = (type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
    for other in ast.walk(tree):
        if (
            isinstance(other, ast.expr)
            and (type(other), other.lineno, other.col_offset, other.end_lineno, other.end_col_offset) == place
        ):
            return ast.fix_missing_locations(_Replace(other, ast.copy_location(copy.deepcopy(new), other)).visit(tree))
    raise LookupError(place)


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions that run and whose value matters: no annotations, messages, decorators, defaults or module constants' types."""
    for name, child in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        for item in child if isinstance(child, list) else [child]:
            if not isinstance(item, ast.AST) or isinstance(
                item, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert
            ):
                continue
            if isinstance(item, ast.FunctionDef) and item.name in SKIPPED:
                continue
            if isinstance(item, ast.expr):
                yield item
            yield from _expressions(item)


def drawn(count: int, seed: int) -> list[Mutant]:
    """So many, every file having its share as far as it has them."""
    draw = random.Random(seed)
    waiting = {file: draw.sample(all_of, len(all_of)) for file in FILES if (all_of := mutants(file))}
    found: list[Mutant] = []
    while len(found) < count and waiting:
        for file in list(waiting):
            found.append(waiting[file].pop())
            if not waiting[file]:
                del waiting[file]
    return found[:count]


class Mutated(MetaPathFinder, SourceFileLoader):
    """Imports one module from a changed source."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.file))
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, ROOT / self._mutant.file, loader=self)

    def get_code(self, fullname: str) -> Any:
        return compile(self._mutant.source, str(ROOT / self._mutant.file), "exec")

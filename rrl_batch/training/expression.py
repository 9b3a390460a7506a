"""Conditions on the columns of a table, such as ``amplitude <= 1.4 and not feh_error > 0.4``.

The text is parsed into Python's syntax tree. Comparisons, `in`, arithmetic, `and`, `or` and `not`
of columns and constants are what it may consist of; anything else is refused. Each node becomes a
function of whole columns; nothing is run as Python.
"""

import ast
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from rrl_batch.contracts import Contract
from rrl_batch.errors import UserError, hint

Function = Callable[[pd.DataFrame], Any]

_LONGEST = 2000
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_EQUALITY: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_MEMBERSHIP: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.In: np.isin, ast.NotIn: lambda value, listed: ~np.isin(value, listed),
}  # fmt: skip
_COMPARISONS = {"number": _EQUALITY | _ORDER, "text": _EQUALITY}


class _Part(NamedTuple):
    """A part of an expression: what it gives, and how it is evaluated."""

    kind: Literal["number", "text", "condition"]
    of: Function


@dataclass(frozen=True)
class Condition:
    """A condition that the rows of a table fulfil or not.

    Parameters
    ----------
    text : str
        What it says.
    columns : frozenset of str
        The columns that it names.
    """

    text: str
    columns: frozenset[str]
    _of: Function

    def __str__(self) -> str:
        return self.text

    def fulfilled(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows fulfil the condition; a comparison with an unknown value is false.

        Parameters
        ----------
        table : pandas.DataFrame
            With the columns that the condition names.
        """
        rows: NDArray[np.bool_] = np.broadcast_to(self._of(table), len(table))
        return rows

    def unknown(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return the rows of which a value that the condition names is not known."""
        rows: NDArray[np.bool_] = table[list(self.columns)].isna().any(axis=1).to_numpy()
        return rows


@lru_cache
def conditions(text: str, contract: Contract) -> tuple[Condition, ...]:
    """Parse an expression into the conditions that `and` joins in it; none if it is empty.

    Parameters
    ----------
    text : str
        The expression.
    contract : Contract
        The columns that it may name.

    Raises
    ------
    UserError
        If it is no expression, names an unknown column, compares what cannot be compared, or has
        anything but comparisons, `in`, arithmetic, `and`, `or` and `not`.
    """
    line = " ".join(text.split())  # TOML has texts of several lines
    if not line:
        return ()
    if len(line) > _LONGEST:
        raise UserError(f"it has {len(line):,} characters, and {_LONGEST:,} are the most.")
    parser = _Parser(contract)
    try:
        tree = ast.parse(line, mode="eval").body
        parts = [(part, parser.condition(part)) for part in _joined(tree)]
    except SyntaxError as error:
        raise UserError(f"{error.msg} in '{line}'.") from None
    except (RecursionError, MemoryError, ValueError):
        raise UserError("it is nested too deeply, or has too long a number, to be read.") from None
    return tuple(Condition(ast.unparse(part), _names(part), of) for part, of in parts)


def _joined(tree: ast.expr) -> list[ast.expr]:
    match tree:
        case ast.BoolOp(op=ast.And(), values=parts):
            return [one for part in parts for one in _joined(part)]
    return [tree]


def _names(tree: ast.expr) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


class _Parser(ast.NodeVisitor):
    """Makes functions of the nodes that are allowed; a node without a method is not.

    Parameters
    ----------
    contract : Contract
        The columns that may be named.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def condition(self, node: ast.expr) -> Function:
        """Return the function of a node that must be a condition."""
        return self._need(node, "condition")

    def visit_BoolOp(self, node: ast.BoolOp) -> _Part:
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        parts = node.values  # noqa: PD011 -- not of pandas
        return _Part("condition", _reduced(join, [self.condition(part) for part in parts]))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> _Part:
        match node.op:
            case ast.Not():
                truth = self.condition(node.operand)
                return _Part("condition", lambda table: np.logical_not(truth(table)))
            case ast.USub():
                number = self._need(node.operand, "number")
                return _Part("number", lambda table: -number(table))
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> _Part:
        if type(node.op) not in _ARITHMETIC:
            self.generic_visit(node)
        apply = _ARITHMETIC[type(node.op)]
        left, right = (self._need(part, "number") for part in (node.left, node.right))

        def value(table: pd.DataFrame) -> Any:
            with np.errstate(all="ignore"):  # a division by zero is infinite, or unknown
                return apply(left(table), right(table))

        return _Part("number", value)

    def visit_Compare(self, node: ast.Compare) -> _Part:
        pairs = pairwise([node.left, *node.comparators])
        links = [self._link(one, op, two) for (one, two), op in zip(pairs, node.ops, strict=True)]
        return _Part("condition", _reduced(np.logical_and, links))

    def visit_Name(self, node: ast.Name) -> _Part:
        if node.id not in self._contract.names:
            raise UserError(
                f"there is no column '{node.id}'; {hint(node.id, self._contract.names)}"
            )
        (column,) = self._contract.select([node.id]).columns
        if pa.types.is_string(column.type):
            return _Part("text", lambda table: table[node.id].to_numpy(object))
        return _Part("number", lambda table: pd.to_numeric(table[node.id]).to_numpy(np.float64))

    def visit_Constant(self, node: ast.Constant) -> _Part:
        match node.value:
            case str(text):
                return _Part("text", lambda _: text)
            case int(number) | float(number) if not isinstance(number, bool):
                if abs(number) <= sys.float_info.max:
                    return _Part("number", lambda _: np.float64(number))
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> NoReturn:
        raise UserError(
            f"'{ast.unparse(node)}' may be no part of it: it has comparisons, 'in', '+', '-', "
            f"'*', '/', 'and', 'or' and 'not' of columns, numbers and texts in quotes."
        )

    def _need(self, node: ast.expr, kind: str) -> Function:
        part: _Part = self.visit(node)
        if part.kind != kind:
            raise UserError(f"'{ast.unparse(node)}' is a {part.kind} where a {kind} belongs.")
        return part.of

    def _link(self, one: ast.expr, op: ast.cmpop, two: ast.expr) -> Function:
        """Return the function that compares two neighbours in a comparison."""
        left: _Part = self.visit(one)
        compare = _COMPARISONS.get(left.kind, {}).get(type(op))
        right: Function
        match two:
            case ast.List(elts=elements) | ast.Tuple(elts=elements) if type(op) in _MEMBERSHIP:
                compare = _MEMBERSHIP[type(op)]
                listed = [self._need(element, left.kind) for element in elements]
                right = lambda table: [element(table) for element in listed]  # noqa: E731
            case _ if compare:
                right = self._need(two, left.kind)
        if compare is None:
            raise UserError(
                f"'{ast.unparse(one)}' and '{ast.unparse(two)}' cannot be compared in this way."
            )

        def truth(table: pd.DataFrame) -> Any:
            a, b = left.of(table), right(table)
            known = pd.notna(a) & (True if isinstance(b, list) else pd.notna(b))
            return compare(a, b) & known

        return truth


def _reduced(join: np.ufunc, functions: list[Function]) -> Function:
    def truth(table: pd.DataFrame) -> Any:
        return join.reduce(np.broadcast_arrays(*(function(table) for function in functions)))

    return truth

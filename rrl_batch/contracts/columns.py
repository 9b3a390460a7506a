"""The contract of a table: its columns (type, unit, UCD, description) and the check against it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from rrl_batch.errors import UserError


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Name, as in the Gaia archive where the column exists there.
    type : pyarrow.DataType
        Arrow type on disk.
    unit : str or None
        Unit in the VOUnit syntax, and 'dex', which it lacks; None for a quantity without one.
    ucd : str
        IVOA Unified Content Descriptor (UCD1+).
    description : str
        What it holds, in one sentence.
    required : bool
        Whether input without the column is refused; an optional one is filled with nulls.
    nullable : bool
        Whether a row may have no value.
    """

    name: str
    type: pa.DataType
    unit: str | None
    ucd: str
    description: str
    required: bool = True
    nullable: bool = True

    @property
    def field(self) -> pa.Field:
        """The Arrow field, which carries unit, UCD and description as metadata."""
        metadata = {"unit": self.unit or "", "ucd": self.ucd, "description": self.description}
        return pa.field(self.name, self.type, metadata=metadata)


@dataclass(frozen=True)
class Contract:
    """The columns that every table of one kind has.

    Parameters
    ----------
    table : str
        What the table is called in messages, e.g. "survey".
    columns : tuple of Column
        Its columns, in order.
    """

    table: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with units, UCDs and descriptions in the fields' metadata."""
        return pa.schema([column.field for column in self.columns])

    def select(self, names: Sequence[str]) -> "Contract":
        """Return the contract of some of the columns, in this contract's order."""
        return Contract(self.table, tuple(c for c in self.columns if c.name in names))

    def conform(self, table: pa.Table, where: str) -> pa.Table:
        """Return the contract's columns of a table, in its order and of its types.

        Columns that the contract does not name are left out; an optional column that is
        absent is filled with nulls.

        Parameters
        ----------
        table : pyarrow.Table
            The table as it was read.
        where : str
            What it was read from, for messages.

        Returns
        -------
        pyarrow.Table
            A table of exactly `schema`.

        Raises
        ------
        UserError
            If a required column is missing, is in another unit, has a type that cannot be
            converted without loss, or has nulls where the contract allows none.
        """
        arrays = [self._conform_column(table, column, where) for column in self.columns]
        return pa.table(arrays, schema=self.schema)

    def _conform_column(self, table: pa.Table, column: Column, where: str) -> pa.ChunkedArray:
        count = table.column_names.count(column.name)
        if count > 1:
            raise UserError(f"{where} has {count} columns named '{column.name}'; keep one of them.")
        if count == 0:
            if column.required:
                raise UserError(
                    f"{where} has no column '{column.name}' ({column.description}), which every "
                    f"{self.table} table needs; it has: {', '.join(table.column_names)}."
                )
            return pa.chunked_array([pa.nulls(table.num_rows, column.type)])
        _check_unit(table.schema.field(column.name), column, where)
        array = table.column(column.name)
        try:
            if pa.types.is_floating(array.type) and pa.types.is_int64(column.type):
                # a float has lost the last digits of an identifier, although it converts
                raise pa.ArrowInvalid
            converted = array.cast(column.type)
        except pa.ArrowException:
            raise UserError(
                f"{where}: column '{column.name}' has the type {array.type}, which cannot be "
                f"read as {column.type} without loss; convert it before."
            ) from None
        if converted.null_count and not column.nullable:
            row = converted.is_null().index(True).as_py()
            raise UserError(
                f"{where}: column '{column.name}' has no value in row {row} (and in "
                f"{converted.null_count} rows in all); every row of a {self.table} table needs one."
            )
        return converted


def _check_unit(field: pa.Field, column: Column, where: str) -> None:
    """Refuse a column whose file says that it is in another unit; most files do not say."""
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    if not unit or unit == column.unit:
        return
    from astropy.units import Unit

    if Unit(unit, parse_strict="silent") != Unit(column.unit or ""):
        raise UserError(
            f"{where}: column '{column.name}' has the unit '{unit}' where "
            f"'{column.unit or 'none'}' belongs; convert it before."
        )

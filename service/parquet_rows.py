"""Rows of Parquet files as Python values: instants to the microsecond, bytes as text, what cannot be held an error."""

from collections.abc import Iterable, Iterator
from typing import Any

from features.errors import EventError

ROWS = 2_000
"""Rows that are read at a time."""

_UNHELD = (ValueError, KeyError, OverflowError, TypeError)


def read_rows(batches: Iterable[Any]) -> Iterator[tuple[int, dict[str, Any] | EventError]]:
    """Yield the rows of record batches as dicts, numbered from 1, maps as dicts too.

    A row with a value that Python cannot hold comes out as an error: an instant after the year 9999, text that is not
    UTF-8, a map that has a key twice.
    """
    number = 0
    for batch in batches:
        batch = _plain(batch)
        try:
            rows = batch.to_pylist(maps_as_pydicts="strict")
        except _UNHELD:
            rows = [_row(batch, place) for place in range(batch.num_rows)]
        for row in rows:
            number += 1
            yield number, row


def _row(batch: Any, place: int) -> dict[str, Any] | EventError:
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column.slice(place, 1).to_pylist(maps_as_pydicts="strict")[0]
        except _UNHELD as error:
            # The text of a KeyError is between quotes.
            reason = error.args[0] if isinstance(error, KeyError) else error
            return EventError(f"holds a value that cannot be read: {reason}", f"$.{name}")
    return row


def _plain(batch: Any) -> Any:
    """Return a batch without nanoseconds, which would come out as values of pandas, and without bytes.

    Older writers do not say of a text that it is one; bytes that are none are errors when they become Python's.
    """
    import pyarrow

    schema = pyarrow.schema([_plain_field(field) for field in batch.schema])
    return batch if schema == batch.schema else batch.cast(schema, safe=False)


def _plain_field(field: Any) -> Any:
    return field.with_type(_plain_type(field.type))


def _plain_type(kind: Any) -> Any:
    import pyarrow
    from pyarrow import types

    if types.is_timestamp(kind) and kind.unit == "ns":
        return pyarrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pyarrow.duration("us")
    if types.is_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return pyarrow.string()
    if types.is_large_binary(kind):
        return pyarrow.large_string()
    if types.is_dictionary(kind):
        plain = _plain_type(kind.value_type)
        return kind if plain == kind.value_type else plain
    if types.is_struct(kind):
        return pyarrow.struct([_plain_field(field) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted)
    if types.is_list(kind):
        return pyarrow.list_(_plain_field(kind.value_field))
    if types.is_large_list(kind):
        return pyarrow.large_list(_plain_field(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pyarrow.list_(_plain_field(kind.value_field), kind.list_size)
    return kind

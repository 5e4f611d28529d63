"""Rows of Parquet files as Python values: instants to the microsecond, and what Python cannot hold as an error."""

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
        batch = _in_micros(batch)
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


def _in_micros(batch: Any) -> Any:
    """Return a batch without nanoseconds, which would come out as values of pandas that nothing else takes."""
    import pyarrow

    schema = pyarrow.schema([_field_in_micros(field) for field in batch.schema])
    return batch if schema == batch.schema else batch.cast(schema, safe=False)


def _field_in_micros(field: Any) -> Any:
    return field.with_type(_type_in_micros(field.type))


def _type_in_micros(kind: Any) -> Any:
    import pyarrow
    from pyarrow import types

    if types.is_timestamp(kind) and kind.unit == "ns":
        return pyarrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pyarrow.duration("us")
    if types.is_dictionary(kind):
        plain = _type_in_micros(kind.value_type)
        return kind if plain == kind.value_type else plain
    if types.is_struct(kind):
        return pyarrow.struct([_field_in_micros(field) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(_field_in_micros(kind.key_field), _field_in_micros(kind.item_field), kind.keys_sorted)
    if types.is_list(kind):
        return pyarrow.list_(_field_in_micros(kind.value_field))
    if types.is_large_list(kind):
        return pyarrow.large_list(_field_in_micros(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pyarrow.list_(_field_in_micros(kind.value_field), kind.list_size)
    return kind

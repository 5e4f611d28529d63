"""Whatever stands in an export, it is read or refused; nothing else happens."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.adapters import mturk, toloka
from tests.service.adapters.reading import FIXTURES, Read, found, written

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([[], {}, [None], [[]], [{}], {"and": []}, "UNKNOWN", "9999-12-31T23:59:59Z", 1e300, -1]),
)


def documents(folder: str) -> list[Any]:
    found = []
    for file in sorted((FIXTURES / folder).iterdir()):
        if file.suffix == ".ndjson":
            found += [json.loads(line) for line in file.read_text().splitlines()]
        elif file.suffix == ".json":
            found.append(json.loads(file.read_text()))
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything within a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [deeper for key, item in inside for deeper in places(item, (*path, key))]


@pytest.mark.parametrize(("folder", "read"), [("mturk", mturk.read), ("toloka", toloka.read)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=1000)
@given(data=st.data())
def test_a_field_of_any_value_is_read_or_refused(tmp_path: Path, folder: str, read: Read, data: st.DataObject) -> None:
    whole = copy.deepcopy(documents(folder))
    *above, last = data.draw(st.sampled_from(places(whole)))
    holder: Any = whole
    for step in above:
        holder = holder[step]
    holder[last] = data.draw(VALUES)

    events, refused = found(read, written(tmp_path, *whole))

    assert events or refused
    assert all(reason for reason in refused)

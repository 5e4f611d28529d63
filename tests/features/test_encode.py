"""Encoding: records are packed as NumPy lays them out, and what is remembered is what would be found anew."""

from typing import Any

import numpy as np
import pytest

from features.batch import EVENT, PROFILES
from features.encode import packer
from features.layout import FACTS
from features.state import MarketState
from tests.log import RATES, Log, usd


@pytest.mark.parametrize("dtype", [EVENT, FACTS, PROFILES])
def test_a_packed_record_has_every_value_in_its_field(dtype: np.dtype[np.void]) -> None:
    values: list[Any] = []
    fields: list[Any] = []
    for name in dtype.names or ():
        count = int(np.prod(dtype[name].shape, dtype=int))
        given = [len(values) + place + 1 for place in range(count)]
        values += given
        fields.append(given if dtype[name].shape else given[0])
    packed = packer(dtype).pack(*values)
    record = np.frombuffer(packed, dtype)[0]
    assert len(packed) == dtype.itemsize
    assert [record[name].tolist() for name in dtype.names or ()] == fields


def test_tasks_of_one_content_and_signature_are_encoded_as_if_each_were_the_first() -> None:
    fields: dict[str, Any] = {
        "title": "Transcribe a receipt",
        "skills": ["ocr", "typing"],
        "languages": ["en-GB"],
        "reward": usd(1.0),
        "requirements": [{"attribute": "country", "comparator": "eq", "value": "ID"}],
    }
    log = Log().post("t1", **fields).post("t2", **fields).post("t3", **fields | {"skills": ["ocr"]})
    batch = MarketState(RATES).encode(log.entries)
    starts, stops = batch.events["start"], batch.events["stop"]
    contents = [
        (batch.token_rows[a:b].tolist(), batch.token_kinds[a:b].tolist(), batch.token_weights[a:b].tolist())
        for a, b in zip(starts, stops, strict=True)
    ]
    assert contents[0] == contents[1] != contents[2]
    alone = MarketState(RATES).encode(log.entries[2:])
    assert contents[2][0] == alone.token_rows.tolist()
    assert batch.facts["signature"].tolist() == [0, 0, 0]

"""Encoding: records are packed as NumPy lays them out, and what is remembered is what would be found anew."""

from typing import Any

import numpy as np
import pytest

from features.batch import EVENT, PROFILES
from features.encode import packer
from features.layout import FACTS
from features.state import MarketState
from tests.log import RATES, Log, usd


@pytest.mark.parametrize(
    ("dtype", "blank"),
    [(EVENT, ()), (EVENT, ("requester", "detail", "start", "stop")), (FACTS, ()), (PROFILES, ())],
)
def test_a_packed_record_has_every_value_in_its_field(dtype: np.dtype[np.void], blank: tuple[str, ...]) -> None:
    values: list[Any] = []
    fields: list[Any] = []
    for name in dtype.names or ():
        if name in blank:
            fields.append(0)
            continue
        count = int(np.prod(dtype[name].shape, dtype=int))
        given = [len(values) + place + 1 for place in range(count)]
        values += given
        fields.append(given if dtype[name].shape else given[0])
    packed = packer(dtype, blank=blank).pack(*values)
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


def test_a_wording_that_another_state_knows_has_the_numbers_of_each_state() -> None:
    fields: dict[str, Any] = {"title": "Transcribe a receipt", "category": "audio", "languages": ["en-GB", "id"]}
    other: dict[str, Any] = {"title": "Draw boxes", "category": "labelling", "languages": ["sw"]}
    first, second = MarketState(RATES), MarketState(RATES)
    first.apply(Log().post("t1", **fields).entries)
    second.apply(Log().post("t1", **other).post("t2", **fields).post("t3", **fields).entries)
    for state, task in ((first, 1), (second, 2), (second, 3)):
        facts, name = state.arrays.tasks[task]["facts"], state.catalogue.labels.external
        assert name(int(facts["category"])) == "category:audio"
        assert [name(int(label)) for label in facts["languages"]] == ["language:en", "language:id", "", ""]
        assert list(state.catalogue.texts)[facts["text"]].title == "Transcribe a receipt"
    assert first.arrays.tasks[1]["facts"]["category"] != second.arrays.tasks[2]["facts"]["category"]


def test_wordings_beyond_those_that_are_kept_are_numbered_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    for place in (1, 2, 3, 1, 2, 3):
        log.post(f"t{place}", title=f"Part {place}", category=f"kind {place}")
    usual = MarketState(RATES).encode(log.entries)
    monkeypatch.setattr("features.encode.SAME_WORDING", 2)
    assert MarketState(RATES).encode(log.entries).facts.tobytes() == usual.facts.tobytes()

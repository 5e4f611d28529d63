"""Peers learn and are judged on the same lists as Cocok; one that is not there is shown with why."""

import json
import math
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.peers import COCOK, NAIVE, PEERS, UNAVAILABLE, Takings, naive
from benchmarks.quality import compare, figures, table, write
from benchmarks.requested import Truth, requested
from features.errors import CocokError
from features.events import instant
from matching.offline import Request
from tests.log import RATES, Log, hour
from tests.market import entries, market, rows_of, usual
from tests.market import write as write_log
from training.baselines import BASELINES
from training.dataset import TrainingSet
from training.frames import log_frames
from training.splits import holdout

OPTIONAL = ("ALS (implicit)", "item kNN (implicit)")


@cache
def parts() -> tuple[TrainingSet, TrainingSet, Takings]:
    """The usual market: lists to learn from, the last part, and what was taken."""
    events, rows = usual()
    before, last = holdout(rows, maturity=rows.maturity)
    return rows.select(before), rows.select(last), Takings(log_frames([entries(events)], RATES))


def scores(name: str) -> np.ndarray:
    development, final, takings = parts()
    (peer,) = (peer for peer in PEERS if peer.name == name)
    return peer.fit(development, takings, int(final.times[0]), 1)(final)


def test_given_a_market_then_every_learned_peer_that_needs_no_extra_beats_chance() -> None:
    development, final, takings = parts()
    ranked, _ = compare(development, final, takings)
    found = {each["ranker"]: each for each in figures(ranked, final)}
    assert {COCOK, *BASELINES, "logistic regression, all columns", "LightGBM, ten naive columns"} <= set(found)
    chance = found["random"]["ndcg@10"]["all"]["high"]
    for name in (COCOK, "logistic regression, all columns", "LightGBM, ten naive columns"):
        assert found[name]["ndcg@10"]["all"]["value"] > chance, name
    assert found[COCOK]["difference"]["all"]["value"] == 0.0
    apart = found["random"]["ndcg@10"]["all"]["value"] - found[COCOK]["ndcg@10"]["all"]["value"]
    assert found["random"]["difference"]["all"]["value"] == pytest.approx(apart)


@pytest.mark.parametrize("name", OPTIONAL)
def test_given_the_extra_then_collaborative_filtering_beats_chance_too(name: str) -> None:
    pytest.importorskip("implicit")
    _, final, _ = parts()
    value = np.nanmean(quality.ndcg(scores(name), final.labels, final.offsets))
    assert value > np.nanmean(quality.ndcg(scores("random"), final.labels, final.offsets))


def test_given_no_extra_then_the_table_names_the_peers_that_are_missing_and_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "implicit", None)
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    monkeypatch.setitem(sys.modules, "implicit.nearest_neighbours", None)
    development, final, takings = parts()
    ranked, skipped = compare(development, final, takings)
    assert {*OPTIONAL, *UNAVAILABLE} == set(skipped)
    assert "[peers]" in skipped["ALS (implicit)"]
    shown = table(figures(ranked, final), skipped, final)
    assert list(shown.columns[0].cells)[-len(skipped) :] == list(skipped)


def test_given_lists_of_which_nothing_was_taken_then_it_says_so() -> None:
    development, final, takings = parts()
    seen = replace(development, labels=np.minimum(development.labels, 1))
    with pytest.raises(CocokError, match="was taken"):
        compare(seen, final, takings)


def log() -> Log:
    """Two kinds of task; ``w`` takes one of the first kind at hour 3, which is known then."""
    facts = {"a": ("draw", "r1"), "b": ("write", "r2"), "c": ("draw", "r1")}
    made = Log()
    for task_id, (category, requester_id) in facts.items():
        made.post(task_id, 0, requester_id, category=category, skills=[category])
    return made.serve("w", "abc", 1).take("w", "a", 3).serve("w", "abc", 4).serve("v", "abc", 5).take("v", "b", 40)


def asked(request_id: str, worker_id: str, at: float) -> Request:
    return Request(request_id=request_id, at=instant(hour(at)), worker_id=worker_id, candidates=("a", "b", "c"))


def lists_of(*requests: Request, labels: dict[str, int] | None = None) -> TrainingSet:
    truths = [Truth(request.request_id, labels or {}) for request in requests]
    return requested(lambda: [log().entries], RATES, requests, truths)


def test_given_what_a_worker_took_then_naive_columns_count_it_in_later_lists_only() -> None:
    takings = Takings(log_frames([log().entries], RATES))
    rows = lists_of(asked("before", "w", 2), asked("after", "w", 3.5), asked("other", "v", 6))
    found = naive(rows, takings)
    assert tuple(found.columns) == NAIVE
    assert found["category_taken"].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0]
    assert found["requester_taken"].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0]


def test_given_what_a_worker_took_then_histories_hold_it_in_later_lists_only() -> None:
    takings = Takings(log_frames([log().entries], RATES))
    rows = lists_of(asked("before", "w", 3), asked("after", "w", 3.5), asked("unknown", "nobody", 6))
    found = takings.histories(rows, takings.kinds).toarray()
    kind = takings.kinds[takings.tasks_of(rows)[0]]
    assert found.sum(axis=1).tolist() == [0, 1, 0]
    assert found[1, kind] == 1


def test_given_requests_then_their_rows_are_those_that_training_makes_at_the_same_instants() -> None:
    events = market(days=7, workers=8)
    log_ = [entries(events)]
    instants = Counter(known_at for _, known_at, _ in log_[0])
    rows = rows_of(events, timedelta(hours=6))
    # A list knows what is before it in the log, a request only what is before its instant.
    rows = rows.select(np.array([instants[int(at)] == 1 for at in rows.times]))
    assert len(rows) > 5
    requests = [
        Request(
            request_id=str(feed_id),
            at=instant(int(rows.times[place])),
            worker_id=str(rows.worker_ids[rows.workers[place]]),
            candidates=tuple(rows.catalogue["task_id"].to_numpy()[rows.tasks[begin:end]]),
        )
        for place, (feed_id, begin, end) in enumerate(
            zip(rows.feed_ids, rows.offsets[:-1], rows.offsets[1:], strict=True)
        )
    ]
    first = requests[0]
    assert first.candidates is not None
    truths = [Truth(request.request_id, {first.candidates[1]: 3}) for request in requests]
    found = requested(lambda: log_, RATES, list(reversed(requests)), truths)
    np.testing.assert_array_equal(found.features, rows.features)
    assert found.feed_ids.tolist() == rows.feed_ids.tolist()
    assert found.labels[: len(first.candidates)].tolist() == [0, 3, *[0] * (len(first.candidates) - 2)]


def test_given_a_request_without_truth_then_it_is_named() -> None:
    with pytest.raises(CocokError, match="'r'"):
        requested(lambda: [log().entries], RATES, [asked("r", "w", 2)], [])


def test_given_ranked_lists_then_each_file_has_all_candidates_and_the_unknown_last(tmp_path: Path) -> None:
    final = lists_of(asked("r", "w", 3.5), labels={"b": 1})
    ranked = [quality.Ranked(PEERS[0], np.array([0.5, math.nan, 2.0]), 0.0)]
    write(tmp_path, ranked, final)
    (line,) = (tmp_path / "cocok.ndjson").read_text().splitlines()
    assert json.loads(line) == {
        "request_id": "r",
        "items": [{"task_id": "c", "score": 2.0}, {"task_id": "a", "score": 0.5}, {"task_id": "b", "score": None}],
    }


def test_given_a_file_of_events_then_the_command_prints_the_table_and_writes_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_log(tmp_path / "events.ndjson", usual()[0])
    argv = ["quality", "--log", str(path), "--json", str(tmp_path / "found.json"), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    quality.main()
    found = json.loads((tmp_path / "found.json").read_text())
    names = [each["ranker"] for each in found["rankers"]]
    assert names[0] == COCOK
    assert set(names) | set(found["skipped"]) == {peer.name for peer in PEERS} | set(UNAVAILABLE)
    assert "past_rate" in capsys.readouterr().out

"""A real log, where it is at hand: `COCOK_TOPCODER` names the folder with its tables and its script `to_events.py`."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from features.build import rows
from features.estimates import HOUR
from features.events import decode_event, micros
from features.money import Rates
from features.spec import fingerprint
from features.state import MarketState
from matching.scoring import BundleRanker, expectations
from tests.market import Record
from tests.service.cli.test_model_commands import run
from training.metrics import cluster_interval, ndcg
from training.registry import Registry

GIVEN = os.environ.get("COCOK_TOPCODER", "")

pytestmark = pytest.mark.skipif(not GIVEN, reason="COCOK_TOPCODER names no folder")


def test_given_a_real_log_then_the_model_beats_chance_and_what_it_says_of_itself_holds_on_later_lists(
    tmp_path: Path,
) -> None:
    script = Path(GIVEN) / "to_events.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    home, ranked = tmp_path / "home", tmp_path / "ranked.ndjson"
    requests = tmp_path / "requests.ndjson"
    first = min(json.loads(line)["at"] for line in requests.read_text().splitlines())
    assert run(home, "import", tmp_path / "events.ndjson")["refused"] == []
    trained = run(home, "train", "--until", first)
    run(home, "rank", "--requests", requests, "--out", ranked, "--model", "challenger", "--no-eligibility")

    truths = [json.loads(line) for line in (tmp_path / "truth.ndjson").read_text().splitlines()]
    answers = {answer["request_id"]: answer for answer in map(json.loads, ranked.read_text().splitlines())}
    scores, labels, sizes, workers = [], [], [], []
    for truth in truths:
        items = answers[truth["request_id"]]["items"]
        assert set(truth["labels"]) <= {item["task_id"] for item in items}
        scores += [item["score"] for item in items]
        labels += [truth["labels"].get(item["task_id"], 0) for item in items]
        sizes.append(len(items))
        workers.append(truth["worker_id"])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = ndcg(scores, labels, offsets, gains=(0, 1, 3, 7))
    mean, low, high = cluster_interval(values, np.unique(workers, return_inverse=True)[1])
    chance = ndcg(np.random.default_rng(0).random(len(scores)), labels, offsets, gains=(0, 1, 3, 7))
    assert low > 1.5 * float(np.nanmean(chance))
    # Later lists are judged with other gains and other workers, so only roughly as good.
    assert mean == pytest.approx(trained["metrics"]["ndcg@10"]["value"], abs=0.1)
    assert trained["metrics"]["ndcg@10"]["low"] > trained["baselines"]["random"]["ndcg@10"]["high"]
    print(f"NDCG@10 {mean:.4f} ({low:.4f} to {high:.4f})")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], BundleRanker]:
    """A log until an instant, and the ranker that learned from it."""
    folder = tmp_path_factory.mktemp("cut")
    subprocess.run([sys.executable, Path(GIVEN) / "to_events.py", "--out", folder], check=True, capture_output=True)
    until = json.loads((folder / "requests.ndjson").read_text().partition("\n")[0])["at"]
    run(folder / "home", "import", folder / "events.ndjson")
    run(folder / "home", "train", "--until", until)
    lines = (folder / "events.ndjson").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["at"] < until]
    expected = {"expected_features": fingerprint(), "expected_rates": Rates.shipped().fingerprint()}
    return events, BundleRanker(Registry.at(folder / "home").load(1, **expected), "1")


def with_pay(events: list[Record], task_id: str, factor: str) -> MarketState:
    """Return the market where a task paid so many times as much, from the event on by which it was posted."""
    state, log = MarketState(Rates.shipped()), []
    for event in events:
        if event.get("task_id") == task_id and event.get("reward"):
            amount = Decimal(str(event["reward"]["amount"])) * Decimal(factor)
            event = {**event, "reward": {**event["reward"], "amount": str(amount)}}
        decoded = decode_event(json.dumps(event).encode())
        log.append((len(log) + 1, micros(decoded.at), decoded))
    state.apply(log)
    return state


def test_given_a_real_task_posted_with_more_reward_then_neither_its_score_nor_its_pay_is_lower(
    cut: tuple[list[Record], BundleRanker],
) -> None:
    events, ranker = cut
    now = micros(decode_event(json.dumps(events[-1]).encode()).at) + HOUR
    workers = list(dict.fromkeys(event["worker_id"] for event in reversed(events) if "worker_id" in event))[:40]
    paid = [event["task_id"] for event in events if event["type"] == "task_posted" and event.get("reward")]

    def answers(task_id: str, factor: str) -> list[tuple[float, Decimal | None]]:
        state = with_pay(events, task_id, factor)
        task = state.catalogue.tasks.get(task_id)
        found = []
        for worker_id in (*workers, "nobody"):
            features = rows(state, state.catalogue.workers.get(worker_id), np.array([task], np.int32), now)
            answer = ranker.answers(features)
            (figures,) = expectations(answer.outcomes(), [state.catalogue.postings.reward(task)])
            hourly = figures.expected_hourly
            found.append((float(answer.scores[0]), hourly and hourly.amount))
        return found

    for task_id in paid[-400::100]:
        before = answers(task_id, "1")
        for factor in ("1.01", "2", "10"):
            for (score, pay), (higher, raised) in zip(before, answers(task_id, factor), strict=True):
                assert higher >= score
                assert pay is None or (raised is not None and raised >= pay)

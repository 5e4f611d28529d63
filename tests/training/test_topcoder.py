"""A real log, where it is at hand: `COCOK_TOPCODER` names the folder with its tables and its script `to_events.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.service.cli.test_model_commands import run
from training.metrics import cluster_interval, ndcg

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

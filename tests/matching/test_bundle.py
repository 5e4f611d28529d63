"""A bundle comes back as it was saved, and one that does not fit is refused with a reason."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import CocokError
from matching.bundle import FORMAT, Bundle, BundleError, Judge, verify
from matching.calibration import LEVELS, Additive, CalibratedModel, Calibration, MinutesModel
from matching.first_stage import FirstStage
from matching.linear import Linear, Newcomers

FEATURES, RATES = "spec-1", "rates-1"
ROWS = np.random.default_rng(0).normal(size=(700, 3)).astype(np.float32)
ROWS[::7, 1] = np.nan


PART = Linear(
    np.array([0, 1]), np.array([0.5, -2.0]), np.zeros(2), np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), 0.25
)


NEW = Newcomers(0, Linear(np.array([2]), np.array([3.0]), np.zeros(1), np.array([-np.inf]), np.array([np.inf]), -1.0))
ROWS[::5, 0] = 0.0


def booster(objective: str, target: np.ndarray) -> lgb.Booster:
    settings = {"objective": objective, "num_leaves": 7, "verbosity": -1, "num_threads": 1, "deterministic": True}
    return lgb.train(settings, lgb.Dataset(ROWS, target), num_boost_round=12)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    taken = booster("binary", ROWS[:, 0] + ROWS[:, 2] > 1)
    return Bundle(
        first_stage=FirstStage(np.ones(11), np.zeros(11)),
        ranker=Additive(booster("regression", np.sin(ROWS[:, 0]) + ROWS[:, 2]), PART, NEW),
        feature_names=("pay", "Überschrift: skill", "age"),
        features_fingerprint=FEATURES,
        rates_fingerprint=RATES,
        since=1_700_000_000_000_000,
        until=1_710_000_000_000_000,
        metrics={"ndcg@10": {"value": 0.5, "low": 0.4, "high": 0.6}, "mrr": {"value": np.nan, "low": 0.1, "high": 0.2}},
        accept=CalibratedModel(taken, Calibration(np.array([-2.0, 0.0, 3.0]), np.array([0.1, 0.3, 0.9]))),
        created_at="2024-03-09T16:00:00Z",
    )


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def load(folder: Path) -> Bundle:
    return Bundle.load(folder, expected_features=FEATURES, expected_rates=RATES)


def test_what_comes_back_scores_and_describes_itself_as_before(bundle: Bundle, saved: Path) -> None:
    read = load(saved)
    np.testing.assert_array_equal(read.score(ROWS), bundle.score(ROWS))
    assert read.accept is not None
    assert bundle.accept is not None
    np.testing.assert_array_equal(read.accept.predict(ROWS), bundle.accept.predict(ROWS))
    assert read.approve is None
    for name in ("feature_names", "features_fingerprint", "rates_fingerprint", "since", "until", "created_at"):
        assert getattr(read, name) == getattr(bundle, name)
    assert read.metrics["ndcg@10"] == bundle.metrics["ndcg@10"]
    assert np.isnan(read.metrics["mrr"]["value"])


def test_newcomers_have_a_linear_part_of_their_own_and_others_do_not_notice(bundle: Bundle) -> None:
    alone = replace(bundle.ranker, newcomers=None).predict(ROWS) - PART.predict(ROWS)
    said = np.where(ROWS[:, 0] == 0.0, NEW.linear.predict(ROWS), PART.predict(ROWS))
    np.testing.assert_allclose(bundle.score(ROWS), alone + said, rtol=1e-12)
    shares = bundle.ranker.linear_contributions(ROWS, np.array([0, 1, 1]), 2)
    assert (shares[ROWS[:, 0] == 0.0] == [0.0, 0.0]).sum(axis=0).tolist() == [140, 0]
    np.testing.assert_array_equal(shares[1:5], PART.contributions(ROWS[1:5], np.array([0, 1, 1]), 2))


def test_the_judge_comes_back_with_its_own_models(bundle: Bundle, tmp_path: Path) -> None:
    base = PART
    curve = Calibration(np.array([-3.0, 3.0]), np.array([0.1, 0.9]))
    taken = CalibratedModel(booster("binary", ROWS[:, 2] > 0), curve, base)
    location, spread = booster("regression", ROWS[:, 0]), booster("regression", ROWS[:, 2])
    minutes = MinutesModel(Additive(location, base), Additive(spread), 2 * LEVELS - 1)
    judge = Judge(
        Additive(booster("regression", -ROWS[:, 0])),
        1_705_000_000_000_000,
        3_600_000_000,
        approve=taken,
        minutes=minutes,
    )
    replace(bundle, judge=judge).save(tmp_path / "judged")
    read = load(tmp_path / "judged")
    assert read.judge is not None
    assert (read.judge.since, read.judge.maturity, read.judge.accept) == (judge.since, judge.maturity, None)
    np.testing.assert_array_equal(read.judge.ranker.predict(ROWS), judge.ranker.predict(ROWS))
    assert read.judge.approve is not None
    np.testing.assert_array_equal(read.judge.approve.predict(ROWS), taken.predict(ROWS))
    assert read.judge.minutes is not None
    np.testing.assert_array_equal(read.judge.minutes.quantiles(ROWS, 0.1, 0.9), minutes.quantiles(ROWS, 0.1, 0.9))
    assert read.accept is not None
    assert read.approve is None
    np.testing.assert_array_equal(read.score(ROWS), bundle.score(ROWS))


def test_probabilities_are_those_of_the_calibration(bundle: Bundle) -> None:
    assert bundle.accept is not None
    margins = bundle.accept.booster.predict(ROWS, raw_score=True)
    np.testing.assert_allclose(bundle.accept.predict(ROWS), np.interp(margins, [-2, 0, 3], [0.1, 0.3, 0.9]))


def test_the_same_content_has_the_same_bytes(bundle: Bundle, saved: Path, tmp_path: Path) -> None:
    replace(load(saved), created_at="2025-01-01T00:00:00Z").save(tmp_path / "again")
    for name in ("ranker.txt", "p_accept.txt", "arrays.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
    first, again = (json.loads((folder / "bundle.json").read_bytes()) for folder in (saved, tmp_path / "again"))
    assert first.pop("created_at") != again.pop("created_at")
    assert first == again


def test_the_time_of_writing_is_not_in_the_arrays(saved: Path) -> None:
    with zipfile.ZipFile(saved / "arrays.npz") as arrays:
        assert {entry.date_time[0] for entry in arrays.infolist()} == {1980}


def test_a_row_scores_the_same_alone_and_among_others(bundle: Bundle) -> None:
    together = bundle.score(ROWS)
    np.testing.assert_array_equal(np.concatenate([bundle.score(ROWS[i : i + 1]) for i in range(len(ROWS))]), together)
    np.testing.assert_array_equal(bundle.score(ROWS[::-1]), together[::-1])
    assert bundle.score(ROWS[:0]).shape == (0,)


def test_features_of_another_width_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"\(700, 2\).*3 columns"):
        bundle.score(ROWS[:, :2])


def test_a_bundle_is_never_overwritten_and_leaves_nothing_half_written(
    bundle: Bundle, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="exists already"):
        bundle.save(saved)

    def full_disk(path: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(OSError, match="no space"):
        bundle.save(saved.parent / "other")
    assert [path.name for path in saved.parent.iterdir()] == ["bundle"]


def rewrite(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "bundle.json").read_bytes())
    (folder / "bundle.json").write_text(json.dumps(manifest | changes))


def test_other_features_or_rates_are_refused_by_name(saved: Path) -> None:
    with pytest.raises(BundleError, match=r"features.*spec-1.*spec-2.*train a new model"):
        Bundle.load(saved, expected_features="spec-2", expected_rates=RATES)
    with pytest.raises(BundleError, match=r"currency rates.*rates-1.*rates-2"):
        Bundle.load(saved, expected_features=FEATURES, expected_rates="rates-2")


@pytest.mark.parametrize("name", ["ranker.txt", "p_accept.txt", "arrays.npz"])
def test_a_changed_or_missing_file_is_refused(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=rf"{name} does not have its checksum.*fetch it again"):
        load(saved)
    (saved / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        load(saved)


def test_damage_is_found_without_knowing_what_is_in_use(saved: Path) -> None:
    verify(saved)
    (saved / "ranker.txt").unlink()
    with pytest.raises(BundleError, match=r"ranker\.txt is missing"):
        verify(saved)


def test_another_format_is_refused(saved: Path) -> None:
    rewrite(saved, format=99)
    with pytest.raises(BundleError, match=f"format 99, this Cocok reads format {FORMAT}"):
        load(saved)


@pytest.mark.parametrize(
    "changes",
    [{"feature_names": ["a"]}, {"models": ["p_accept"]}, {"checksums": None}, {"metrics": 3}],
    ids=["columns", "no ranker", "no checksums", "metrics"],
)
def test_a_manifest_that_does_not_fit_is_refused(saved: Path, changes: dict[str, object]) -> None:
    rewrite(saved, **changes)
    with pytest.raises(BundleError, match="damaged"):
        load(saved)


def test_what_is_not_a_bundle_is_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(CocokError, match="not a model bundle"):
        load(tmp_path)
    (saved / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        load(saved)

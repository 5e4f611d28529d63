"""The benchmark of off-policy estimates: its log is one that the estimators read, and its table names every policy."""

import pytest

from benchmarks import off_policy


def test_given_small_markets_then_each_estimate_is_held_against_the_truth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"WORLDS": 1, "WARM_UP": 4, "DAYS": 7, "DRAWN_WORKERS": 60, "ORDERS_OF_A_TRUTH": 2}.items():
        monkeypatch.setattr(off_policy, name, value)
    monkeypatch.setattr("sys.argv", ["off_policy", "--repetitions", "2"])
    off_policy.main()
    told = capsys.readouterr().out
    for policy in ("champion", "past_rate", "newest", "highest_pay", "champion, strict"):
        rows = [line for line in told.splitlines() if line.strip().startswith(f"{policy} ")]
        assert len(rows) >= 3, told
    assert "/2" in told

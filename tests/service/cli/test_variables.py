"""A variable that is named like a setting and is none does not pass unseen."""

import pytest

from tests.service.cli.run import Cocok


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("COCOK_RATE", "warning: COCOK_RATE is no setting; the nearest is COCOK_RATES\n"),
        ("COCOK_XYZZY_QQ", "warning: COCOK_XYZZY_QQ is no setting\n"),
        ("COCOK_RATES", ""),
        ("cocok_rates", ""),
    ],
)
def test_given_a_variable_that_is_no_setting_then_each_command_warns_and_goes_on(
    cocok: Cocok, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "{}")
    ran = cocok("keys", "list")
    assert (ran.code, ran.err) == (0, said)

"""Settings: variables before the file before the defaults, and errors in one line."""

from pathlib import Path

import pytest

from features.errors import CocokError
from matching.pipeline import Matcher, feed_steps
from service.security import KeyStore
from service.settings import Settings, load_settings, unknown_variables
from service.store import opened


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.delenv(f"COCOK_{name.upper()}", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_given_nothing_then_everything_local_is_under_the_home(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == Path(".cocok")
    assert settings.store_url == "sqlite:///.cocok/cocok.db"
    assert settings.mlflow_tracking_uri == ""
    assert settings.exchange.base == "USD"


def test_given_a_file_then_it_is_read_and_a_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cocok.toml").write_text('home = "here"\nbase_currency = "EUR"\n[rates]\nIDR = 18000\n')
    monkeypatch.setenv("COCOK_HOME", "there")
    settings = load_settings()
    assert (settings.home, settings.exchange.base) == (Path("there"), "EUR")
    assert settings.exchange.per_base["IDR"] == 18000


def test_given_an_empty_home_then_it_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCOK_HOME", "")
    assert load_settings().home == Path(".cocok")
    (tmp_path / "cocok.toml").write_text('home = "here"\n')
    assert load_settings().home == Path("here")


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b", "a#b", "a:b@c", "ü"])
def test_given_a_home_whose_name_means_something_in_a_url_then_the_database_is_in_it(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    settings = load_settings(home=home)
    with opened(settings.store_url) as store:
        assert store.count() == 0
    KeyStore(settings.store_url).close()
    assert (home / "cocok.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_given_a_named_file_then_it_is_read_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cocok.toml").write_text('home = "here"\n')
    (tmp_path / "other.toml").write_text('home = "other"\n')
    monkeypatch.setenv("COCOK_CONFIG", "other.toml")
    assert load_settings().home == Path("other")


def test_given_the_variable_of_mlflow_then_it_is_respected_and_our_own_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    assert load_settings().mlflow_tracking_uri == "http://mlflow"
    monkeypatch.setenv("COCOK_MLFLOW_TRACKING_URI", "http://own")
    assert load_settings().mlflow_tracking_uri == "http://own"


@pytest.mark.parametrize(
    ("variables", "file", "words"),
    [
        ({}, 'hoem = "x"', "unknown key `hoem` in cocok.toml; known: home"),
        ({}, "home =", "cocok.toml is no TOML"),
        ({}, "[rates]\nIDR = -1", "IDR is -1.0"),
        ({}, '[rates]\nIDR = "many"', "`rates.IDR`"),
        ({"COCOK_RATES": "IDR=3"}, "", "a map is written as JSON"),
        ({"COCOK_BASE_CURRENCY": "XAU"}, "", "base currency XAU has no shipped rate"),
        ({"COCOK_CONFIG": "missing.toml"}, "", "COCOK_CONFIG names missing.toml"),
    ],
)
def test_given_bad_settings_then_one_line_names_what_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], file: str, words: str
) -> None:
    (tmp_path / "cocok.toml").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CocokError) as caught:
        load_settings()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_given_variables_then_those_that_are_no_settings_are_found_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.setenv(f"COCOK_{name.upper()}", "")
    before = unknown_variables()
    for name in ("COCOK_RATE", "COCOK_SNAPSHOT_MINUTE", "cocok_home", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
    nearest = {"COCOK_RATE": "COCOK_RATES", "COCOK_SNAPSHOT_MINUTE": "COCOK_SNAPSHOT_MINUTES"}
    assert unknown_variables() == before | nearest


def test_given_any_setting_then_it_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_given_nothing_then_pay_weighs_as_the_matcher_has_it() -> None:
    assert Matcher(feed_steps(Settings().pay_weight)) == Matcher()

"""Settings: ``COCOK_*`` variables first, then a TOML file, then the defaults."""

import os
import tomllib
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from features.errors import CocokError
from features.money import Rates
from service.store import sqlite_url

PREFIX = "COCOK_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
CONFIG_FILE = Path("cocok.toml")


class Settings(BaseSettings):
    """What a deployment may choose."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path(".cocok"),
        description="Folder of everything local: database, old lists, MLflow store, snapshots, bundles.",
    )
    database_url: str = Field(
        default="",
        description="Where the event log is kept; by default `sqlite:///` and `cocok.db` in the home folder.",
    )
    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias=AliasChoices("COCOK_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "mlflow_tracking_uri"),
        description="MLflow server or store; by default an embedded one in the folder `mlflow` of the home folder.",
    )
    base_currency: str = Field(
        default="USD", description="ISO 4217 code of the currency that all pay is converted to before it is compared."
    )
    rates: dict[str, float] = Field(
        default_factory=dict,
        description="Currency -> how many of its units one unit of the base currency buys; wins over the shipped one.",
    )
    host: str = Field(default="127.0.0.1", description="Address that `cocok serve` listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port that `cocok serve` listens on; 0 picks one.")
    max_body_bytes: int = Field(
        default=8_000_000, ge=1_000, description="Bytes of a request's body that the API takes at the most."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that `cocok serve` answers in. Each follows the log with a state of its own, so memory "
        "grows with them; one uses little more than one core.",
    )
    ranking_threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Requests that a process ranks at the same time, others wait their turn; 0 for two in a process "
        "that answers alone, one in each of several.",
    )
    pay_weight: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How much expected pay per hour counts in the order of feeds beside what the model says: standard "
        "deviations of the scores for every factor e; 0 leaves the order to the model.",
    )
    explore_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the logged feeds whose first positions are drawn by chance, so that new tasks and new "
        "workers are learned about; a request's `explore` takes precedence.",
    )
    explore_temperature: float = Field(
        default=0.25, gt=0, description="How freely these are drawn, in standard deviations of the scores."
    )
    explore_floor: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of each of these positions that is promised to new tasks; with new workers, to all tasks.",
    )
    swap_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the other logged feeds in which a coin decides the order of one pair of neighbours, so "
        "that attention by position can be measured (`cocok attention`).",
    )
    snapshot_minutes: float = Field(
        default=30.0,
        ge=0,
        allow_inf_nan=False,
        description="How often a server looks whether the log has grown enough for a snapshot, which `cocok snapshot` "
        "then takes in a process of its own; 0 never.",
    )
    snapshots_kept: int = Field(default=2, ge=1, description="Snapshots that are kept when a new one is taken.")
    archive_lists_after_days: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Days, by the clock of the log, after which a server has lists that were served moved from the "
        "database to Parquet files beside it, which take a fraction of the room, as `cocok archive` does; 0 never.",
    )
    model_poll_seconds: float = Field(
        default=30.0, gt=0, description="How often a server looks whether another model has become the champion."
    )
    shadow_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the logged feeds that the challenger ranks too, beside the champion and for nobody, so "
        "that `/metrics` tells how much it would change and how fast it is; 0 loads no challenger.",
    )
    gate_margin: float = Field(
        default=0.01, ge=0, description="NDCG@10 that a version may lie below the champion over all lists."
    )
    gate_slice_margin: float = Field(
        default=0.03, ge=0, description="The same for newcomers or a large slice of the lists."
    )
    gate_slice_lists: int = Field(
        default=200, ge=1, description="Lists from which a slice counts as large; newcomers are looked at from 30."
    )
    gate_calibration: float = Field(
        default=0.75,
        ge=0,
        description="Expected calibration error allowed, as a share of the rarer outcome's rate, on top of what chance "
        "alone stays below in 19 cases of 20.",
    )
    gate_latency_ms: float = Field(
        default=50.0, gt=0, description="Milliseconds that a version may take to score a list of 300 tasks."
    )

    @property
    def store_url(self) -> str:
        """Database URL of the event log, the default filled in."""
        return self.database_url or sqlite_url(self.home / "cocok.db")

    @property
    def ranked_at_once(self) -> int:
        """Requests that a process ranks at the same time, the default filled in."""
        return self.ranking_threads or (2 if self.processes == 1 else 1)

    @property
    def snapshots(self) -> Path:
        """Folder of the snapshots."""
        return self.home / "snapshots"

    @cached_property
    def exchange(self) -> Rates:
        """The rates of exchange in force: the shipped table under the rates of the settings."""
        return Rates.shipped(self.base_currency, self.rates)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the variables before the TOML file."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=_config_file())
        return init_settings, _Variables(settings_cls), file


class _Variables(EnvSettingsSource):
    """The variables, but for a home that is empty: that would be the current folder, and nobody means it."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if (name, value) != ("home", "")}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings in force in this process.

    Args:
        overrides: win over variables and file.

    Raises:
        CocokError: a value is not allowed, a key is unknown, or the file cannot be read; one line that names it.
    """
    try:
        settings = Settings(**overrides)
        _ = settings.exchange
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(Settings.model_fields)
            raise CocokError(f"settings: unknown key `{name}` in {_config_file()}; known: {known}") from error
        raise CocokError(
            f"settings: `{name}`: {first['msg']}; set it as COCOK_{name.partition('.')[0].upper()} or in cocok.toml"
        ) from error
    except SettingsError as error:
        raise CocokError(
            f"settings: {error}; a map is written as JSON, like COCOK_RATES='{{\"IDR\": 16230}}'"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise CocokError(f"settings: {_config_file()} is no TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CocokError(f"settings: cannot read {_config_file()}: {error}") from error
    return settings


def unknown_variables() -> dict[str, str]:
    """Return the variables of this process that are named like settings and are none, with the setting nearest to each.

    The nearest is empty where no name is near.
    """
    # Like those of pydantic, whatever their case.
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG_VARIABLE}
    found = {name: name.upper() for name in os.environ if name.upper().startswith(PREFIX)}
    return {
        name: next(iter(get_close_matches(upper, known, n=1)), "")
        for name, upper in sorted(found.items())
        if upper not in known
    }


def _config_file() -> Path:
    chosen = os.environ.get(CONFIG_VARIABLE)
    if chosen and not Path(chosen).is_file():
        raise CocokError(f"settings: {CONFIG_VARIABLE} names {chosen}, which is no file")
    return Path(chosen) if chosen else CONFIG_FILE

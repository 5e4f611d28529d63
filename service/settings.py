"""Settings: ``COCOK_*`` variables first, then a TOML file, then the defaults."""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError

from features.errors import CocokError
from features.money import Rates

CONFIG_VARIABLE = "COCOK_CONFIG"
CONFIG_FILE = Path("cocok.toml")


class Settings(BaseSettings):
    """What a deployment may choose."""

    model_config = SettingsConfigDict(env_prefix="COCOK_", extra="forbid", frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path(".cocok"), description="Folder of everything local: database, MLflow store, snapshots, bundles."
    )
    database_url: str = Field(
        default="",
        description="Where the event log is kept; by default `sqlite:///` and `cocok.db` in the home folder.",
    )
    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias=AliasChoices("COCOK_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "mlflow_tracking_uri"),
        description="MLflow server or store; by default `sqlite:///` and `mlflow.db` in the home folder.",
    )
    base_currency: str = Field(
        default="USD", description="ISO 4217 code of the currency that all pay is converted to before it is compared."
    )
    rates: dict[str, float] = Field(
        default_factory=dict,
        description="Currency -> how many of its units one unit of the base currency buys; wins over the shipped one.",
    )

    @property
    def store_url(self) -> str:
        """Database URL of the event log, the default filled in."""
        return self.database_url or f"sqlite:///{self.home / 'cocok.db'}"

    @property
    def mlflow_url(self) -> str:
        """MLflow tracking URI, the default filled in."""
        return self.mlflow_tracking_uri or f"sqlite:///{(self.home / 'mlflow.db').absolute()}"

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
        return init_settings, env_settings, file


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


def _config_file() -> Path:
    chosen = os.environ.get(CONFIG_VARIABLE)
    if chosen and not Path(chosen).is_file():
        raise CocokError(f"settings: {CONFIG_VARIABLE} names {chosen}, which is no file")
    return Path(chosen) if chosen else CONFIG_FILE

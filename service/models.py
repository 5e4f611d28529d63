"""What serves now: the champion of the registry, or the fallback; swapped between requests, never within one.

And the challenger of the registry, where it is to be looked at beside what serves.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol

from features.errors import CocokError
from features.money import Rates
from features.spec import fingerprint
from matching.bundle import Bundle
from matching.fallback import FallbackRanker
from matching.scoring import BundleRanker, Ranker

log = logging.getLogger(__name__)


class ModelSource(Protocol):
    """Where champions and challengers come from; `training.registry.Registry` is one."""

    def champion(self) -> int | None:
        """Return the version that the alias ``champion`` points at, or None."""

    def challenger(self) -> int | None:
        """Return the version that the alias ``challenger`` points at, or None."""

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        """Return the bundle of a version, checked."""

    def keep_serving(self, version: int | None) -> None:
        """Remember on this machine which version serves."""

    def last_served(self, *, expected_features: str, expected_rates: str) -> tuple[int, Bundle] | None:
        """Return the version that served last on this machine and its bundle, without asking whoever keeps them."""


@dataclass(frozen=True)
class Serving:
    """A ranker in service.

    Attributes:
        ranker: ranks every request that began while it was in place.
        version: number of the version, or ``fallback``.
        since: when it was put in place.
        metrics: what its training reported; name -> value, low, high.
        refused: why a newer champion is not served; empty if there is none.
        confirmed: whether the source has said since the start that this version serves.
    """

    ranker: Ranker
    version: str
    since: datetime
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    refused: str = ""
    confirmed: bool = True


class Models:
    """Keeps the champion loaded. ``current`` may be read from any thread; each request reads it once.

    Args:
        source: where champions come from.
        rates: rates of exchange.
        prepare: what is done with a ranker before it serves.
        shadowed: whether the challenger is kept loaded, too.
    """

    def __init__(
        self,
        source: ModelSource,
        rates: Rates,
        prepare: Callable[[Ranker], None] = lambda _: None,
        *,
        shadowed: bool = False,
    ) -> None:
        self._source = source
        self._prepare = prepare
        self._shadowed = shadowed
        self._shadow: Serving | None = None
        self._no_shadow = ""
        self._rates = rates.fingerprint()
        self._loading = Lock()
        self.current = Serving(FallbackRanker(), FallbackRanker.version, datetime.now(UTC))

    @property
    def shadow(self) -> Serving | None:
        """The challenger, if it is kept loaded and is another version than the one that serves."""
        shadow = self._shadow
        # Asked each time, since a new champion serves some time before the store is asked for another challenger.
        return None if shadow is None or shadow.version == self.current.version else shadow

    def refresh(self, *, champion_alone: bool = False) -> Serving:
        """Look for a new champion and put it in place; whatever is wrong with it leaves the old one where it is.

        Then look for a new shadow, unless something was wrong or the champion alone is asked for.
        """
        with self._loading:
            try:
                self._load_champion()
            except Exception as error:
                # A store that is down or a bundle that is damaged must not end what serves, whatever it raises.
                reason = _reason(error)
                if reason != self.current.refused:
                    log.warning("keeping model %s: %s", self.current.version, reason)
                    self.current = replace(self.current, refused=reason)
            else:
                if self.current.refused:
                    self.current = replace(self.current, refused="")
                if self._shadowed and not champion_alone:
                    self._look_for_shadow()
            return self.current

    def resume(self) -> None:
        """Put in place what served last on this machine, for a start at which the champion cannot be had."""
        with self._loading:
            try:
                found = self._source.last_served(expected_features=fingerprint(), expected_rates=self._rates)
                if found is not None:
                    self._serve_bundle(*found, refused=self.current.refused, confirmed=False)
            except Exception as error:
                # As in `refresh`; the fallback is better than no start.
                log.warning("what served last cannot serve: %s", error)

    def _load_champion(self) -> None:
        version = self._source.champion()
        if version is None:
            if self.current.version != FallbackRanker.version:
                log.warning("no champion any more: the fallback serves")
                self._serve(Serving(FallbackRanker(), FallbackRanker.version, datetime.now(UTC)))
            self._keep_serving(None)
            return
        if self.current.confirmed and str(version) == self.current.version:
            return
        self._serve_bundle(version, self._load(version))
        self._keep_serving(version)

    def _look_for_shadow(self) -> None:
        version: int | None = None
        try:
            version = self._source.challenger()
            if version is None or str(version) == self.current.version:
                self._shadow = None
            elif self._shadow is None or str(version) != self._shadow.version:
                self._shadow = None
                self._shadow = _serving(version, self._load(version))
                log.info("model %s is the shadow", version)
            self._no_shadow = ""
        except Exception as error:
            # As in `refresh`; it is tried again each time, and told once.
            reason = f"version {version}: {_reason(error)}" if version else _reason(error)
            if reason != self._no_shadow:
                log.warning("no shadow beside model %s: %s", self.current.version, reason)
                self._no_shadow = reason

    def _load(self, version: int) -> Bundle:
        return self._source.load(version, expected_features=fingerprint(), expected_rates=self._rates)

    def _keep_serving(self, version: int | None) -> None:
        try:
            self._source.keep_serving(version)
        except CocokError as error:
            log.warning("a start will not find what serves while the model store cannot be reached: %s", error)

    def _serve_bundle(self, version: int, bundle: Bundle, refused: str = "", *, confirmed: bool = True) -> None:
        self._serve(replace(_serving(version, bundle), refused=refused, confirmed=confirmed))
        log.info("model %s serves", version)

    def _serve(self, serving: Serving) -> None:
        self._prepare(serving.ranker)
        self.current = serving


def _serving(version: int, bundle: Bundle) -> Serving:
    ranker = BundleRanker(bundle, str(version))
    return Serving(ranker, ranker.version, datetime.now(UTC), dict(bundle.metrics))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, CocokError) else f"{type(error).__name__} while loading"

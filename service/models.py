"""What serves now: the champion of the registry, or the fallback; swapped between requests, never within one."""

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
    """Where champions come from; `training.registry.Registry` is one."""

    def champion(self) -> int | None:
        """Return the version that the alias ``champion`` points at, or None."""

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
    """

    def __init__(self, source: ModelSource, rates: Rates, prepare: Callable[[Ranker], None] = lambda _: None) -> None:
        self._source = source
        self._prepare = prepare
        self._rates = rates.fingerprint()
        self._loading = Lock()
        self.current = Serving(FallbackRanker(), FallbackRanker.version, datetime.now(UTC))

    def refresh(self) -> Serving:
        """Look for a new champion and put it in place; whatever is wrong with it leaves the old one where it is."""
        with self._loading:
            try:
                self._load_champion()
            except Exception as error:
                # A store that is down or a bundle that is damaged must not end what serves, whatever it raises.
                reason = str(error) if isinstance(error, CocokError) else f"{type(error).__name__} while loading"
                if reason != self.current.refused:
                    log.warning("keeping model %s: %s", self.current.version, reason)
                    self.current = replace(self.current, refused=reason)
            else:
                if self.current.refused:
                    self.current = replace(self.current, refused="")
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
        bundle = self._source.load(version, expected_features=fingerprint(), expected_rates=self._rates)
        self._serve_bundle(version, bundle)
        self._keep_serving(version)

    def _keep_serving(self, version: int | None) -> None:
        try:
            self._source.keep_serving(version)
        except CocokError as error:
            log.warning("a start will not find what serves while the model store cannot be reached: %s", error)

    def _serve_bundle(self, version: int, bundle: Bundle, refused: str = "", *, confirmed: bool = True) -> None:
        ranker = BundleRanker(bundle, str(version))
        metrics = dict(bundle.metrics)
        self._serve(Serving(ranker, ranker.version, datetime.now(UTC), metrics, refused, confirmed))
        log.info("model %s serves", version)

    def _serve(self, serving: Serving) -> None:
        self._prepare(serving.ranker)
        self.current = serving

"""An engine without a server, and postings for it."""

import json

from features.events import Event, decode_event
from features.money import Rates
from service.engine import Engine
from service.models import Models
from service.store import Store
from tests.log import RATES
from tests.service.api.server import Registry, task


def engine_of(store: Store, rates: Rates = RATES) -> Engine:
    return Engine(store, rates, Models(Registry(), rates))


def post(name: str, **fields: object) -> Event:
    return decode_event(json.dumps(task(name, **fields)).encode())

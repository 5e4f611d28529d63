"""What is known of a worker, by attributes of requirements.

Nothing is kept of a worker: age and history move by themselves, and an evaluation is cheaper than finding out whether
an earlier one still holds.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from features.estimates import DAY
from features.events import WorkerUpdated
from features.forms import compared
from features.layout import NEVER, Record
from features.requirements_compiler import Compiler
from features.requirements_layout import BARE, VALUED, Facts
from features.requirements_shape import Value
from features.tokens import normalise


def facts_of(
    compiler: Compiler,
    profile: WorkerUpdated | None,
    record: Record,
    now: int,
    devices: Sequence[str] | None = None,
) -> Facts:
    """Return what is known of a worker.

    Args:
        compiler: what asks for attributes and names values.
        profile: the profile in force; None for one that was never given.
        record: of ``Arrays.workers``.
        now: microseconds since 1970.
        devices: those in hand, in place of the profile's.
    """
    size = len(compiler.attributes)
    held, number = np.zeros(size, np.int8), np.full(size, np.nan)
    start, stop = np.zeros(size, np.int32), np.zeros(size, np.int32)
    values: list[int] = []
    # Of an attribute that is known twice, the last one counts.
    noted = {
        compiler.attributes.get(name): _noted(compiler, given, values)
        for name, given in _known(profile, record, now, devices)
    }
    places = list(noted)
    held[places], number[places], start[places], stop[places] = zip(*noted.values(), strict=True)
    return Facts(held, number, start, stop, np.array(values, np.int32))


def _noted(compiler: Compiler, given: Sequence[Value], values: list[int]) -> tuple[int, float, int, int]:
    """Return what facts say of an attribute with these values, which come behind ``values``."""
    number, start = np.nan, len(values)
    for value in given:
        if not isinstance(value, str):
            number = value
        if (operand := compiler.values.get(value)) is not None:
            values.append(operand)
    return VALUED if given else BARE, number, start, len(values)


def _known(
    profile: WorkerUpdated | None, record: Record, now: int, devices: Sequence[str] | None
) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield attribute and values of what is known of a worker; no values where it is held without one."""
    approved, rejected = float(record["approved"]), float(record["rejected"])
    yield "approved_count", (approved,)
    if approved + rejected > 0.0:
        yield "approval_rate", (100.0 * approved / (approved + rejected),)
    if record["first_seen"] != NEVER:
        yield "age_days", ((now - int(record["first_seen"])) / DAY,)
    if profile is not None:
        yield from declared(profile, devices or profile.devices)
    elif devices:
        yield "device", [compared("device", device) for device in devices]


def declared(profile: WorkerUpdated, devices: Sequence[str] | None) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield attribute and values, as they are compared, of what a profile declares; no values where it gives none."""
    for identity, value in (profile.qualifications or {}).items():
        yield f"qualification:{identity}", () if value is None else (value,)
    skills = profile.skills or ()
    levels = skills.items() if isinstance(skills, Mapping) else ((name, 1.0) for name in skills)
    for name, level in levels:
        yield f"skill:{normalise(name)}", (level,)
    texts: dict[str, Sequence[str] | None] = {
        "language": profile.languages,
        "country": profile.country and (profile.country,),
        "region": profile.region and (profile.region,),
        "device": devices,
    }
    for attribute, values in texts.items():
        if values:
            yield attribute, [compared(attribute, value) for value in values]

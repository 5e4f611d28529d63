"""What a pool pays, and to whom: a task for every price that a worker's skill can bring about."""

from decimal import Decimal
from typing import NamedTuple

from service.adapters.clauses import Node, all_of, any_of, clause
from service.adapters.payloads import Fields


class Price(NamedTuple):
    """A price and who is paid it.

    Attributes:
        amount: in US dollars.
        nodes: what a worker must meet to be paid it; empty for everybody.
    """

    amount: Decimal
    nodes: list[Node]


class _Interval(NamedTuple):
    low: int
    high: int
    amount: Decimal


def prices_of(pool: Fields) -> list[Price]:
    """Return the prices of a pool, the basic one first; who is asked for by one is asked for by no other.

    A worker whose skill is in no interval, or who lacks the skill, is paid the basic price.

    Raises:
        EventError: a price or an interval is missing or wrong, or intervals overlap.
    """
    basic = _amount(pool)
    config = pool.object("dynamic_pricing_config")
    if config is None:
        return [Price(basic, [])]
    config.choice("type", ("SKILL",))
    skill = f"skill:{config.need('skill_id')}"
    other = [interval for interval in _intervals(config) if interval.amount != basic]
    prices = [Price(basic, [_outside(skill, interval) for interval in other])]
    for amount in sorted({interval.amount for interval in other}):
        inside = [_inside(skill, interval) for interval in other if interval.amount == amount]
        prices.append(Price(amount, [any_of(inside)]))
    return prices


def amount_text(amount: Decimal) -> str:
    """Return an amount without zeros that say nothing."""
    return f"{amount.normalize():f}"


def _amount(fields: Fields) -> Decimal:
    if fields.number("reward_per_assignment", 0, 10**6) is None:
        raise fields.error("reward_per_assignment", "missing")
    return Decimal(str(fields.body["reward_per_assignment"]))


def _intervals(config: Fields) -> list[_Interval]:
    found: list[_Interval] = []
    for place, interval in enumerate(config.objects("intervals")):
        low, high = interval.integer("from", 0, 100), interval.integer("to", 0, 100)
        this = _Interval(0 if low is None else low, 100 if high is None else high, _amount(interval))
        if this.low > this.high:
            raise interval.error("from", f"found {this.low}, above `to`")
        if any(this.low <= other.high and other.low <= this.high for other in found):
            raise config.error(f"intervals[{place}]", "overlaps an interval before it")
        found.append(this)
    if not found:
        raise config.error("intervals", "missing")
    return found


def _inside(skill: str, interval: _Interval) -> Node:
    bounds = [clause(skill, "ge", interval.low / 100)] if interval.low > 0 else []
    if interval.high < 100:
        bounds.append(clause(skill, "le", interval.high / 100))
    return all_of(bounds) if bounds else clause(skill, "exists")


def _outside(skill: str, interval: _Interval) -> Node:
    ways = [clause(skill, "lt", interval.low / 100, absent=True)] if interval.low > 0 else []
    if interval.high < 100:
        ways.append(clause(skill, "gt", interval.high / 100, absent=True))
    return any_of(ways) if ways else clause(skill, "not_exists")

"""The shapes on the wire: what the API takes and gives, apart from the domain."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from features.money import Money

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _money(raw: object) -> Money:
    try:
        return msgspec.convert(raw, Money)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("$.", "")) from error


def _whole(raw: object) -> object:
    # JSON does not tell 20 from 20.0, so neither do we.
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


Whole = Annotated[int, BeforeValidator(_whole)]

MoneyField = Annotated[
    Money, PlainValidator(_money), WithJsonSchema({"$ref": "#/components/schemas/Money"}, mode="validation")
]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Asked(_Request):
    """What a feed and a ranking have in common: a worker, and what the worker wants this time."""

    worker_id: Id = Field(description="A worker that nothing is known of is ranked as a newcomer.")
    session_minutes: float | None = Field(
        None, gt=0, le=10_000_000, description="Minutes the worker has now; by default those of the profile."
    )
    device: Name | None = Field(None, description="The device in hand; by default any of the profile.")
    min_reward: MoneyField | None = Field(None, description="Least reward; by default that of the profile.")
    min_hourly: MoneyField | None = Field(
        None, description="Least expected pay per hour; a task of which it is not known is left out."
    )
    min_requester_rating: float | None = Field(
        None, ge=1, le=5, description="Least mean rating of the requester; one whom nobody rated is left out."
    )
    categories: list[Name] | None = Field(None, max_length=1_000, description="Only tasks of these categories.")
    exclude_task_ids: list[Id] | None = Field(None, max_length=10_000, description="Not these tasks.")
    explain: bool | None = Field(
        None,
        description="True: the items carry reasons and `contributions`; false: neither; absent: reasons alone. "
        "Near misses come with the reasons.",
    )
    locale: Literal["en", "id"] = Field("en", description="Language of the reasons.")
    record: bool = Field(
        True, description="Whether the list is logged as `feed_served`; false for lists that no worker will see."
    )


class FeedRequest(Asked):
    """A worker's request for the next page of a feed."""

    limit: Whole = Field(20, ge=1, le=200, description="Items on this page.")
    cursor: str | None = Field(
        None,
        max_length=60_000,
        pattern="^[A-Za-z0-9_-]+$",
        description="`cursor` of the worker's page before; absent for the first page.",
    )
    explore: bool | None = Field(
        None,
        description="Whether the order of the first 20 positions is drawn, with propensities, instead of taking the "
        "best; without it, the server's settings decide, which draw lists alone that are recorded.",
    )


class RankingRequest(Asked):
    """A caller's own candidates, to be ranked for a worker."""

    candidates: list[Id] = Field(
        min_length=1, max_length=1_000, description="Tasks to rank.", json_schema_extra={"uniqueItems": True}
    )


class AudienceRequest(_Request):
    """A task for which workers are wanted."""

    task_id: Id
    limit: Whole = Field(50, ge=1, le=1_000, description="Workers at the most.")


class MoneyOut(BaseModel):
    """An amount in a currency."""

    amount: str = Field(description="Decimal.")
    currency: str = Field(description="ISO 4217.")


class ReasonOut(BaseModel):
    """Why a task is in the list."""

    code: str
    text: str


class Figures(BaseModel):
    """What is expected of a worker with a task; null where nothing is known."""

    p_accept: float | None = Field(description="P(accepted within the model's maturity | listed).")
    p_approve: float | None = Field(description="P(approved | submitted).")
    expected_minutes: float | None
    minutes_low: float | None = Field(description="10th percentile of the minutes.")
    minutes_high: float | None = Field(description="90th percentile of the minutes.")
    expected_hourly: MoneyOut | None = Field(description="Pay per hour for this worker; null without a reward.")
    expected_hourly_low: MoneyOut | None = Field(
        description="With `expected_hourly_high`, the 80 % interval of pay per hour of finished work; rejected pays 0."
    )
    expected_hourly_high: MoneyOut | None


class ItemOut(Figures):
    """A task in a list; null where nothing is known."""

    task_id: str
    position: int = Field(description="From 1; goes on over the pages of a feed.")
    score: float = Field(description="Higher is better, within this list.")
    reasons: list[ReasonOut] = Field(description="The strongest first; at least one, none with `explain` false.")
    contributions: dict[str, float] | None = Field(
        None,
        description="Only with `explain` true: what each group of features adds to the score, above its mean over the "
        "tasks that were scored.",
    )
    propensity: float = Field(
        description="P(the task is drawn to this place | those before it); 1 where nothing was drawn."
    )


class NearMissOut(BaseModel):
    """A change by which the worker would be let into more tasks."""

    attribute: str = Field(description="As requirements name it.")
    comparator: str = Field(description="With `value`, the clause that the change fulfils.")
    value: int | float | str | None = Field(None, description="Absent for `exists`.")
    tasks: int = Field(description="Open tasks that this change alone would open.")
    expected_hourly: MoneyOut | None = Field(description="Pay per hour of the best of them; null without rewards.")
    text: str


class FeedOut(BaseModel):
    """A page of a feed."""

    feed_id: str = Field(description="Name it in the events that the list leads to.")
    worker_id: str
    model_version: str = Field(description="`fallback` without a model.")
    log_seq: int = Field(description="Sequence number of the last event that the list knows.")
    items: list[ItemOut]
    removed: dict[str, int] = Field(description="Reason -> open tasks it kept out; a task may count for several.")
    near_misses: list[NearMissOut] = Field(
        description="At most 3, the best first; empty on later pages and with `explain` false."
    )
    cursor: str | None = Field(description="For the next page; null when there is none.")


class RemovedOut(BaseModel):
    """A candidate that may not be offered."""

    task_id: str
    reasons: list[str]


class RankingOut(BaseModel):
    """The caller's candidates: all that may be offered in order, and the others with their reasons."""

    feed_id: str
    worker_id: str
    model_version: str
    log_seq: int
    items: list[ItemOut]
    removed: list[RemovedOut]


class MemberOut(Figures):
    """A worker in an audience; null where nothing is known."""

    worker_id: str
    score: float = Field(
        description="P(takes it) x P(approved); higher is better. Without a model, a score of its own."
    )


class AudienceOut(BaseModel):
    """Workers who may take a task, best first."""

    task_id: str
    model_version: str = Field(description="`fallback` without a model.")
    log_seq: int = Field(description="Sequence number of the last event that the audience knows.")
    items: list[MemberOut]
    suggested: int = Field(description="How many of the first to tell, to fill the free slots with 80 % probability.")


class AppendedOut(BaseModel):
    """What became of events."""

    accepted: int = Field(description="Events that are new.")
    duplicates: int = Field(description="Events that were there already with the same content.")
    seq: int = Field(description="Send it as Cocok-Min-Seq to read what includes them.")


class HistoryOut(BaseModel):
    """What a worker did, in whole counts; null where nothing is known."""

    first_seen: datetime | None
    last_accepted: datetime | None
    accepted: int
    submitted: int
    approved: int
    rejected: int
    given_up: int = Field(description="Returned or abandoned.")
    approval_rate: float | None = Field(description="100 x approved / (approved + rejected).")
    ratings: int
    rating: float | None = Field(description="Mean of the ratings by requesters, 1 to 5.")


class WorkerOut(BaseModel):
    """What is known of a worker."""

    worker_id: str
    log_seq: int
    profile: Annotated[dict[str, Any], WithJsonSchema({"$ref": "#/components/schemas/Profile"})] | None
    history: HistoryOut


class CountsOut(BaseModel):
    """What workers did with a task."""

    served: int = Field(description="Lists that it stood in.")
    viewed: int
    accepted: int
    submitted: int
    approved: int
    rejected: int
    given_up: int = Field(description="Returned or abandoned.")
    occupied: int = Field(description="Slots in use.")
    slots_left: int | None = Field(description="Null without a limit.")


class TaskOut(BaseModel):
    """What is known of a task."""

    task_id: str
    log_seq: int
    status: Literal["open", "full", "expired", "closed", "not_posted"]
    posted_at: datetime | None
    posting: Annotated[dict[str, Any], WithJsonSchema({"$ref": "#/components/schemas/Posting"})] | None
    counts: CountsOut


class ModelOut(BaseModel):
    """A model that is loaded."""

    version: str
    since: datetime
    metrics: dict[str, dict[str, float | None]] = Field(description="Of its training: name -> value, low, high.")


class ModelsOut(BaseModel):
    """What serves now."""

    champion: ModelOut
    shadow: ModelOut | None = Field(description="A model that is scored beside the champion; null without one.")
    refused: str | None = Field(description="Why a newer champion does not serve; null if there is none.")


class HealthOut(BaseModel):
    """Whether the server is alive, or ready."""

    status: Literal["ok"]


class ReadyOut(HealthOut):
    """A server that is ready."""

    log_seq: int
    model_version: str

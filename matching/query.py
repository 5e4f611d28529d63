"""What is asked of the matcher."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matching.eligibility import Wishes


@dataclass(frozen=True)
class Query:
    """What is asked of the matcher.

    Attributes:
        worker_id: external id; an unknown worker is a newcomer.
        now: the instant, microseconds since 1970.
        limit: items on this page.
        wishes: filters of this request.
        session_minutes: minutes the worker has now, NaN for what the profile says.
        listed: hashes of the ids that earlier pages hold, which do not come again. The last ``WINDOW - 1`` of
            `matching.rerank` are in order.
        locale: language of the reasons.
        explain: whether reasons are wanted.
        contributions: whether they are wanted in numbers too.
        explore: seed of a drawn order; None takes the best each time.
        swap: seed of a pair of neighbours in a drawn order, in place of ``explore``; None leaves all as they are.
    """

    worker_id: str
    now: int
    limit: int = 20
    wishes: Wishes = field(default_factory=Wishes)
    session_minutes: float = float("nan")
    listed: Sequence[int] = ()
    locale: str = "en"
    explain: bool = True
    contributions: bool = False
    explore: int | None = None
    swap: int | None = None

"""Instants as Mechanical Turk's exports write them."""

from datetime import datetime, timedelta, timezone

_HOURS = {
    "UTC": 0,
    "GMT": 0,
    "EDT": -4,
    "EST": -5,
    "CDT": -5,
    "CST": -6,
    "MDT": -6,
    "MST": -7,
    "PDT": -7,
    "PST": -8,
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def instant(text: str) -> datetime:
    """Return the instant of an API response (ISO 8601) or of a results file (``Tue Mar 05 10:11:12 PST 2019``).

    Raises:
        ValueError: the text is neither, or has no time zone.
    """
    words = text.split()
    if len(words) == 6 and words[1] in _MONTHS:
        _, month, day, clock, zone, year = words
        if zone not in _HOURS:
            raise ValueError(f"the time zone is not among {', '.join(_HOURS)}")
        iso = f"{int(year):04}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{clock}"
        return datetime.fromisoformat(iso).replace(tzinfo=timezone(timedelta(hours=_HOURS[zone])))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected ISO 8601, or a time like Tue Mar 05 10:11:12 PST 2019") from None
    if found.tzinfo is None:
        raise ValueError("the time has no zone")
    return found

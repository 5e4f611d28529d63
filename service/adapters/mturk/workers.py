"""Qualifications as what is known of workers."""

from service.adapters.derived import Profiles, Record
from service.adapters.mturk.instants import instant
from service.adapters.mturk.requirements import LOCALE, NUMBER_APPROVED, PERCENT_APPROVED, place_of

STATUSES = ("Granted", "Revoked")


def qualify(qualification: Record, profiles: Profiles) -> None:
    """Note a qualification that was granted; one that was revoked is not held, from its grant on.

    When that was the service does not tell. The counts that it keeps itself are left out: they follow from the
    assignments.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = qualification.fields
    worker, kind = fields.need("WorkerId"), fields.need("QualificationTypeId")
    is_revoked = fields.choice("Status", STATUSES) == "Revoked"
    if kind in (PERCENT_APPROVED, NUMBER_APPROVED):
        return
    at = fields.instant("GrantTime", instant)
    if is_revoked:
        if at is not None:
            profiles.drop(worker, at, "qualifications", kind, qualification)
        return
    if at is None:
        raise fields.error("GrantTime", "missing")
    if kind != LOCALE:
        profiles.hold(worker, at, "qualifications", kind, fields.integer("IntegerValue"), qualification)
        return
    locale = fields.object("LocaleValue")
    if locale is None:
        raise fields.error("LocaleValue", "missing in a qualification of the locale")
    country, subdivision = place_of(locale)
    profiles.hold(worker, at, "country", "", country, qualification)
    if subdivision is not None:
        profiles.hold(worker, at, "region", "", f"{country}-{subdivision}", qualification)

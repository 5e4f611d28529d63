"""Near misses in words, in the languages of `matching.number_format`."""

from features.money import Money
from features.requirements_shape import Value
from matching.number_format import money, number

_EN = {
    "qualification": "Take the qualification {name}",
    "qualification_at_least": "Take the qualification {name} and reach {value}",
    "qualification_above": "Take the qualification {name} and reach more than {value}",
    "qualification_raise": "Raise the qualification {name} from {held} to {value}",
    "qualification_raise_above": "Raise the qualification {name} from {held} to more than {value}",
    "qualification_equal": "Get the qualification {name} with the value {value}",
    "skill": "Add the skill {name} to your profile",
    "skill_at_least": "Reach level {value} in {name}",
    "skill_equal": "Have the level {value} in {name}",
    "skill_above": "Reach more than level {value} in {name}",
    "language": "Add the language {value} to your profile",
    "device": "Work on the device {value}",
    "approval_rate": "Get {approvals} more {tasks_approved} approved, for an approval rate of {value} %",
    "approved_count": "Get {approvals} more {tasks_approved} approved",
    "tasks": "{count} tasks",
    "task": "1 task",
    "hourly": ", about {money} an hour",
}
_ID = {
    "qualification": "Ambil kualifikasi {name}",
    "qualification_at_least": "Ambil kualifikasi {name} dan capai {value}",
    "qualification_above": "Ambil kualifikasi {name} dan capai lebih dari {value}",
    "qualification_raise": "Naikkan kualifikasi {name} dari {held} menjadi {value}",
    "qualification_raise_above": "Naikkan kualifikasi {name} dari {held} menjadi lebih dari {value}",
    "qualification_equal": "Dapatkan kualifikasi {name} dengan nilai {value}",
    "skill": "Tambahkan keahlian {name} ke profil Anda",
    "skill_at_least": "Capai tingkat {value} dalam {name}",
    "skill_equal": "Miliki tingkat {value} dalam {name}",
    "skill_above": "Capai lebih dari tingkat {value} dalam {name}",
    "language": "Tambahkan bahasa {value} ke profil Anda",
    "device": "Kerjakan dengan perangkat {value}",
    "approval_rate": "{approvals} tugas lagi yang disetujui, untuk tingkat persetujuan {value} %",
    "approved_count": "{approvals} tugas lagi yang disetujui",
    "tasks": "{count} tugas",
    "task": "1 tugas",
    "hourly": ", sekitar {money} per jam",
}


def describe(
    attribute: str,
    comparator: str,
    value: Value | None,
    *,
    held: Value | None,
    approvals: int,
    tasks: int,
    hourly: Money | None,
    locale: str = "en",
) -> str:
    """Return a near miss as a sentence without a full stop.

    Args:
        attribute: what would have to change.
        comparator: with ``value`` what it would have to fulfil.
        value: None for ``exists``.
        held: the qualification's value now; None without one.
        approvals: how many more are needed.
        tasks: that the change opens.
        hourly: what the best of them pay per hour.
        locale: one of `matching.number_format.LOCALES`.
    """
    words = _ID if locale == "id" else _EN
    kind, _, name = attribute.partition(":")
    key = kind
    if kind in ("qualification", "skill"):
        if comparator == "eq":
            key = f"{kind}_equal"
        elif comparator != "exists":
            raised = kind == "qualification" and held is not None
            above = comparator == "gt"
            key = f"{kind}_raise{'_above' if above else ''}" if raised else f"{kind}_{'above' if above else 'at_least'}"
    change = words[key].format(
        name=name,
        value=_written(value, locale),
        held=_written(held, locale),
        approvals=_written(approvals, locale),
        tasks_approved="task" if approvals == 1 else "tasks",
    )
    count = words["task" if tasks == 1 else "tasks"].format(count=_written(tasks, locale))
    pay = "" if hourly is None else words["hourly"].format(money=money(hourly, locale))
    return f"{change}: {count}{pay}"


def _written(value: Value | None, locale: str) -> str:
    return value or "" if value is None or isinstance(value, str) else number(value, locale)

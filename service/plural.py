"""Counts in words for people."""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with what it counts.

    Args:
        count: of things.
        one: what is said of one of them, like ``list was served``.
        many: what is said of any other number; ``one`` with an s if empty.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"

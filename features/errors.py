"""The errors that a user can act on."""


class CocokError(Exception):
    """Something the user can mend; the message is one line that says what is wrong and what to do.

    Every other exception is a bug. The command line prints this one without a traceback, the HTTP edge turns it into
    problem details.
    """


class EventError(CocokError):
    """An event that is refused.

    Attributes:
        path: JSON path of the field at fault, ``$`` for the event itself.
        index: place of the event in the list that was sent, from 0; ``None`` for a single event.
    """

    def __init__(self, reason: str, path: str = "$", index: int | None = None) -> None:
        where = "" if path == "$" else f"`{path.removeprefix('$.')}`: "
        super().__init__(("" if index is None else f"event [{index}]: ") + where + reason)
        self.reason = reason
        self.path = path
        self.index = index

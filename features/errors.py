"""The errors that a user can act on."""


class CocokError(Exception):
    """Something the user can mend; the message is one line that says what is wrong and what to do.

    Every other exception is a bug. The command line prints this one without a traceback, the HTTP edge turns it into
    problem details.
    """

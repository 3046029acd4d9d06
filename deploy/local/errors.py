"""What a user of `lodestream up` can do something about."""


class UpError(Exception):
    """The line cannot start here; the message says why and what to change, for people."""

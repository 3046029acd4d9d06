"""The one error class of the launcher, in a module of its own so that every other module can raise it."""


class LauncherError(Exception):
    """A start that cannot work, told in one line that a person can act on (the CLI prints it as it is)."""

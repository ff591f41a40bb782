"""The one error that people, not programmers, are meant to read."""


class InputError(ValueError):
    """Something given from outside cannot be used.

    The message is one line: what was got, what was wanted, what to do. The command line and the page show it as it
    is, without a traceback.
    """

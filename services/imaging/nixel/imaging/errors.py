"""Errors that are for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """What a person can set right: wrong input, a missing file, a folder that cannot be written.

    Its message is one paragraph that says what was expected, what was found, where, and what to do. The
    command line prints it and ends with exit status 2; a traceback never goes with it. Whoever raises it has
    changed nothing.
    """

"""Errors that a person can mend: the command line prints their message alone, in one line, and ends with code 2."""

from __future__ import annotations


class UserError(Exception):
    """Something that a person can mend; the message names it, the value received, and the way out.

    lines_apart: the message has a line for each of several faults, and is shown so.
    """

    lines_apart = False


class InputError(UserError, ValueError):
    """A value or a file that was given cannot be used; the message says what can."""


class InputTypeError(UserError, TypeError):
    """Values of a type that cannot be used, as floats for integers; the message says which can."""

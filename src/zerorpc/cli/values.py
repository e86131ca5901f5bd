"""What the value of a flag has to be, for argparse."""

from __future__ import annotations

import argparse
import math

from zerorpc.limits import parse_limit


def is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def seconds(text: str) -> float:
    """A number of seconds above 0, for argparse."""
    if not is_number(text) or not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    number = float(text)
    return int(number) if number.is_integer() else number  # so that messages say 30s, not 30.0s


def seconds_or_0(text: str) -> float:
    """A number of seconds, which may be 0, for argparse."""
    if is_number(text) and float(text) == 0:
        return 0
    try:
        return seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or above") from None


def octal(text: str) -> int:
    """A file's mode in octal, as for chmod, for argparse."""
    if not (1 <= len(text) <= 4 and set(text) <= set("01234567") and int(text, 8) <= 0o777):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode such as 660")
    return int(text, 8)


def count(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def limit(text: str) -> tuple[str, int]:
    """One of ``zerorpc.Limits``, for argparse."""
    try:
        return parse_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

"""Waits for what another process does: asks again until it is so, or fails with the last answer."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(ask: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """The first true answer. AssertionErrors count as no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
            problem = f"last answer: {answer!r}"
        except AssertionError as error:
            answer, problem = None, str(error)
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; {problem}"
        time.sleep(0.1)

"""Runs a long-lived coroutine as the process's main job: event loop, signals, one clear sentence on failure."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import click

from minikube_py.objects.errors import ApiError
from minikube_py.telemetry import set_up_logging


def run_until_signal(main: Coroutine[Any, Any, None], log_level: str, *, may_use_uvloop: bool = False) -> None:
    """Run `main` until it ends or SIGINT or SIGTERM cancels it. A failure becomes a ClickException (exit code 1)."""
    set_up_logging(log_level)
    sys.setswitchinterval(0.001)  # engine calls run in threads: keep the loop's waits for the interpreter short
    factory = _uvloop_factory() if may_use_uvloop else None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_cancel_on_signal(main))
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as group:
        raise click.ClickException(_first_sentence(group)) from (group if log_level == "DEBUG" else None)
    except (OSError, RuntimeError, ValueError, ApiError) as error:
        raise click.ClickException(_sentence(error)) from (error if log_level == "DEBUG" else None)


def _uvloop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415 (optional)
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _cancel_on_signal(main: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _first_sentence(group: BaseExceptionGroup[BaseException]) -> str:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first_sentence(error)
        return _sentence(error)
    return str(group)


def _sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith(".") else text + "."

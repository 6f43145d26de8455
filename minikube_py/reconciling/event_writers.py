"""Writes the events of all recorders of a process, several at once and after everything else that is to do."""

import asyncio
import logging
from collections import deque
from typing import Protocol
from weakref import WeakKeyDictionary

from minikube_py.objects.errors import Object

log = logging.getLogger(__name__)

# Events that are written together share a commit, which costs more than an event. But a flood of them must not hold up
# the writes that events tell of.
_WRITERS = 2
_AT_ONCE, _AT_ONCE_WHEN_BUSY = 8, 3
_BUSY_TURN_SECONDS, _TURNS_TO_WAIT, _LONGEST_WAIT_SECONDS = 0.002, 5, 0.1


class EventSource(Protocol):
    """A recorder that has events to write."""

    def take(self, most: int) -> list[Object]:
        """The next events, at most so many; those in one list may be written in any order."""
        ...

    async def write(self, event: Object) -> None: ...

    def rest(self) -> bool:
        """All that was taken is written: whether there is nothing more."""
        ...


class EventWriters:
    """Serves the sources in turns, each with one batch at a time, so that its events stay in their order."""

    def __init__(self) -> None:
        self._ready: deque[EventSource] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, source: EventSource) -> None:
        """A source that has been at rest has something to write."""
        self._ready.append(source)
        if len(self._tasks) < _WRITERS:
            task = asyncio.get_running_loop().create_task(self._work(), name="events")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._ready:
            is_busy = await _give_way()
            room = _AT_ONCE_WHEN_BUSY if is_busy else _AT_ONCE
            sources: list[EventSource] = []
            events: list[tuple[EventSource, Object]] = []
            while self._ready and room > len(events):
                source = self._ready.popleft()
                sources.append(source)
                events += [(source, event) for event in source.take(room - len(events))]
            results = await asyncio.gather(*(source.write(event) for source, event in events), return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    log.error("an event was not written", exc_info=result)
            self._ready.extend(source for source in sources if not source.rest())


async def _give_way() -> bool:
    """Wait the longer, the longer a turn of the loop takes: when it is busy (True), events are written last."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    turn = loop.time() - began
    is_busy = turn > _BUSY_TURN_SECONDS
    if is_busy:
        await asyncio.sleep(min(turn * _TURNS_TO_WAIT, _LONGEST_WAIT_SECONDS))
    return is_busy


_writers: WeakKeyDictionary[asyncio.AbstractEventLoop, EventWriters] = WeakKeyDictionary()


def event_writers() -> EventWriters:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _writers.get(loop)
    if found is None:
        found = _writers[loop] = EventWriters()
    return found

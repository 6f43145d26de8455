"""Writes core/v1 Events about objects, aggregated as client-go does: counted when equal, combined when similar."""

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from minikube_py import clock, ids
from minikube_py.client.protocol import SHARED_ANSWER, Client
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.reconciling.event_writers import event_writers
from minikube_py.resources.kind import GVR

log = logging.getLogger(__name__)

EVENTS = GVR("", "v1", "events")
NORMAL, WARNING = "Normal", "Warning"

# client-go tools/record events_cache.go: the defaults of the correlator.
_REMEMBERED = 4096
_SIMILAR_LIMIT = 10
_SIMILAR_SECONDS = 600.0
_SPAM_BURST = 25
_SPAM_REFILL_PER_SECOND = 1.0 / 300.0
_LONGEST_MESSAGE = 1024
_QUEUED_AT_MOST = 10_000
_NAME_MASK = (1 << 20) - 1


@dataclass
class _Similar:
    """Different messages seen lately for one (object, type, reason)."""

    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass
class _Bucket:
    """Token bucket against one object that floods."""

    tokens: float = _SPAM_BURST
    last: float = 0.0


@dataclass
class _Written:
    """An event that exists in the API: its name and how often it happened."""

    name: str
    namespace: str
    first: str
    count: int = 1


def reference(obj: Object, field_path: str = "") -> Object:
    """The ObjectReference of an object, as events carry it."""
    metadata = obj["metadata"]
    made: Object = {"kind": obj.get("kind", ""), "apiVersion": obj.get("apiVersion", "")}
    for name in ("namespace", "name", "uid", "resourceVersion"):
        if metadata.get(name):
            made[name] = metadata[name]
    if field_path:
        made["fieldPath"] = field_path
    return made


class EventRecorder:
    """Records events of one component. Calls return at once; the process's writers write while there is something."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._queue: deque[Object] = deque()
        self._rests = asyncio.Event()
        self._rests.set()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def event(self, obj: Object, type: str, reason: str, message: str, *, action: str = "") -> None:
        """Record what happened to an object (the object needs kind, apiVersion and metadata)."""
        self.event_for(reference(obj), type, reason, message, action=action)

    def event_for(self, involved: Object, type: str, reason: str, message: str, *, action: str = "") -> None:
        """The same with an ObjectReference (one container of a pod: with fieldPath)."""
        if len(self._queue) >= _QUEUED_AT_MOST or not self._has_token(involved):
            return
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:_LONGEST_MESSAGE],
            "source": source,
            "type": type,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        if action:
            event["action"] = action
        self._queue.append(event)
        if self._rests.is_set():
            self._rests.clear()
            event_writers().add(self)

    async def flush(self) -> None:
        """Wait until everything recorded so far is written (or given up)."""
        await self._rests.wait()

    # --- for the writers ----------------------------------------------------------------------------------------------

    def take(self, most: int) -> list[Object]:
        """Events about one matter are counted, so they are written one after the other."""
        taken: dict[tuple[str, ...], Object] = {}
        while self._queue and len(taken) < most and _similarity(self._queue[0]) not in taken:
            event = self._queue.popleft()
            taken[_similarity(event)] = event
        return list(taken.values())

    async def write(self, event: Object) -> None:
        try:
            await self._write(event)
        except (ApiError, OSError, TimeoutError) as error:
            # A namespace that is being deleted takes no events; nobody is helped by a retry.
            log.debug("event of %s not written: %s", self._component, error)

    def rest(self) -> bool:
        if not self._queue:
            self._rests.set()
        return not self._queue

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self, event: Object) -> None:
        now = clock.rfc3339()
        self._combine_similar(event)
        key = _equality(event)
        known = self._written.get(key)
        if known is not None:
            patch = {"count": known.count + 1, "lastTimestamp": now, "message": event["message"]}
            try:
                await self._client.patch(EVENTS, known.name, patch, known.namespace, options=SHARED_ANSWER)
            except NotFound:
                del self._written[key]
            else:
                known.count += 1
                self._written.move_to_end(key)
                return
        involved = event["involvedObject"]
        namespace = involved.get("namespace") or "default"
        # The low bits are random: events of one moment must not take each other's name.
        moment = int(clock.seconds() * 1e9) & ~_NAME_MASK | ids.pick(_NAME_MASK + 1)
        name = f"{involved.get('name', '')}.{moment:x}"
        event["metadata"] = {"name": name, "namespace": namespace}
        event.update(firstTimestamp=now, lastTimestamp=now, count=1)
        await self._client.create(EVENTS, event, namespace, options=SHARED_ANSWER)
        _remember(self._written, key, _Written(name, namespace, now))

    def _combine_similar(self, event: Object) -> None:
        key = _similarity(event)
        now = clock.seconds()
        similar = self._similar.get(key)
        if similar is None or now - similar.last > _SIMILAR_SECONDS:
            similar = _Similar()
        similar.last = now
        if len(similar.messages) < _SIMILAR_LIMIT:
            similar.messages.add(event["message"])
        if len(similar.messages) >= _SIMILAR_LIMIT:
            event["message"] = f"(combined from similar events): {event['message']}"[:_LONGEST_MESSAGE]
            event["_combined"] = True
        _remember(self._similar, key, similar)

    def _has_token(self, involved: Object) -> bool:
        key = involved.get("uid") or f"{involved.get('kind')}/{involved.get('namespace')}/{involved.get('name')}"
        now = clock.seconds()
        bucket = self._buckets.get(key) or _Bucket(last=now)
        bucket.tokens = min(_SPAM_BURST, bucket.tokens + max(now - bucket.last, 0) * _SPAM_REFILL_PER_SECOND)
        bucket.last = now
        _remember(self._buckets, key, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _similarity(event: Object) -> tuple[str, ...]:
    involved = event["involvedObject"]
    return (
        involved.get("kind", ""), involved.get("namespace", ""), involved.get("name", ""), involved.get("uid", ""),
        involved.get("apiVersion", ""), event["type"], event["reason"],
    )  # fmt: skip


def _equality(event: Object) -> tuple[str, ...]:
    # Combined events count as one whatever they say, so the message is no part of their key.
    message = "" if event.pop("_combined", False) else event["message"]
    return (*_similarity(event), event["involvedObject"].get("fieldPath", ""), message)


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)

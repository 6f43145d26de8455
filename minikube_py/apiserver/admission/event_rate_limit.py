"""Limits how fast events come in: for the whole server, by namespace, by user, or by source and object.

Source: the admission controllers reference page (EventRateLimit), plugin/pkg/admission/eventratelimit.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minikube_py import clock
from minikube_py.apiserver.admission.context import AdmissionContext, Plugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object, TooManyRequests

_DEFAULT_CACHE = 4096


@dataclass
class _Bucket:
    tokens: float
    filled: float


def _source_and_object(request: AdmissionRequest) -> str:
    event: Object = request.obj or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    involved = event.get("involvedObject") or event.get("regarding") or {}
    keys = ("kind", "namespace", "name", "uid", "apiVersion")
    parts = [source.get("component"), source.get("host"), *(involved.get(key) for key in keys)]
    return "".join(part or "" for part in parts)


_KEYS: dict[str, Callable[[AdmissionRequest], str]] = {
    "Server": lambda request: "",
    "Namespace": lambda request: request.namespace,
    "User": lambda request: request.user.name,
    "SourceAndObject": _source_and_object,
}


class _Limit:
    """One token bucket for each key; those longest unused are forgotten."""

    def __init__(self, tree: Any, path: str) -> None:
        """Raises ValueError."""
        if not isinstance(tree, dict) or tree.keys() - {"type", "qps", "burst", "cacheSize"}:
            raise ValueError(f"{path} must have type, qps, burst and cacheSize alone")
        self.type = str(tree.get("type", ""))
        if self.type not in _KEYS:
            raise ValueError(f'{path}.type: Unsupported value: "{self.type}": supported values: {", ".join(_KEYS)}')
        self.qps, self.burst = _positive(tree, "qps", path), _positive(tree, "burst", path)
        self._size = _positive(tree, "cacheSize", path) if tree.get("cacheSize") else _DEFAULT_CACHE
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def refusal(self, request: AdmissionRequest) -> str:
        """Takes one token; why not, where there is none."""
        key, now = _KEYS[self.type](request), clock.seconds()
        bucket = self._buckets.setdefault(key, _Bucket(self.burst, now))
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self.burst, bucket.tokens + max(0.0, now - bucket.filled) * self.qps)
        bucket.filled = now
        if bucket.tokens < 1:
            return f"limit reached on type {self.type} for key {key}"
        bucket.tokens -= 1
        return ""


def _positive(tree: Object, key: str, path: str) -> int:
    value = tree.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{path}.{key}: Invalid value: {value}: must be positive")
    return value


class EventRateLimit(Plugin):
    name = "EventRateLimit"
    resources = frozenset((("", "events"), ("events.k8s.io", "events")))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises ValueError for a configuration that can't be used."""
        super().__init__(context)
        limits = (context.configuration.get(self.name) or {}).get("limits")
        if not isinstance(limits, list) or not limits:
            raise ValueError("EventRateLimit needs limits, in the file of --admission-control-config-file")
        try:
            self._limits = [_Limit(tree, f"limits[{index}]") for index, tree in enumerate(limits)]
        except ValueError as error:
            raise ValueError(f"the configuration of EventRateLimit: {error}") from None

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in ("CREATE", "UPDATE") or request.dry_run:
            return
        refusals = [why for why in (limit.refusal(request) for limit in self._limits) if why]
        if refusals:
            text = refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]"
            raise TooManyRequests(f"Too many requests: {text}", details={"retryAfterSeconds": 1})

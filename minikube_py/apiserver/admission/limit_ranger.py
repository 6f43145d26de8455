"""Gives containers the default resources of their namespace's LimitRanges and holds pods and claims to the limits.

Source: the "Limit Ranges" page; texts as in plugin/pkg/admission/limitranger.
"""

from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.objects.quantity import Quantity
from minikube_py.resources.kind import GVR
from minikube_py.resources.pod_amounts import Amounts, parse_amounts, pod_limits, pod_requests

LIMIT_RANGES = GVR("", "v1", "limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    resources = frozenset(
        (
            ("", "pods"),
            ("", "persistentvolumeclaims"),
        )
    )

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        for limit_range in self._limit_ranges(request):
            set_defaults(request.obj, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or not _is_limited(request):
            return
        for limit_range in self._limit_ranges(request):
            if request.info.resource == "pods":
                found = list(_pod_problems(limit_range, request.obj, request.old))
            else:
                found = list(_claim_problems(limit_range, request.obj, request.old))
            if found:
                raise refuse(request, found[0] if len(found) == 1 else f"[{', '.join(dict.fromkeys(found))}]")

    def _limit_ranges(self, request: AdmissionRequest) -> list[Object]:
        return self.reader.list(LIMIT_RANGES, request.namespace)


def _is_limited(request: AdmissionRequest) -> bool:
    if request.operation not in ("CREATE", "UPDATE"):
        return False
    if is_about(request, "", "pods", "resize"):
        return request.operation == "UPDATE"
    # A pod's resources don't change by an ordinary update, so there is nothing to hold it to.
    return is_about(request, "", "persistentvolumeclaims") or (
        is_about(request, "", "pods") and request.operation == "CREATE"
    )


# -- defaults


def set_defaults(pod: Object, limit_range: Object) -> None:
    """Fill in what containers leave open, and note it in the annotation as Kubernetes does."""
    limits: Object = {}
    requests: Object = {}
    for item in spec_of(limit_range).get("limits") or []:
        if item.get("type") == "Container":
            limits |= item.get("default") or {}
            requests |= item.get("defaultRequest") or {}
    notes: list[str] = []
    for key, label in (("containers", "container"), ("initContainers", "init container")):
        for container in spec_of(pod).get(key) or []:
            notes += _merge(container, requests, limits, label)
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _merge(container: Object, requests: Object, limits: Object, label: str) -> Iterator[str]:
    if not requests and not limits:
        return
    resources = container.get("resources") or {}
    # The request first: a default limit must not stand in for a request that the defaults also name.
    for part, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        have = resources.get(part) or {}
        missing = {name: amount for name, amount in defaults.items() if name not in have}
        if missing:
            resources[part] = {**have, **missing}
            container["resources"] = resources
            yield f"{', '.join(sorted(missing))} {word} for {label} {container.get('name', '')}"


# -- limits


class _Usage:
    """What one container, pod or claim asks for, now and before this update."""

    def __init__(self, requests: Amounts, limits: Amounts, before: "_Usage | None" = None) -> None:
        self.requests, self.limits, self._before = requests, limits, before

    def is_unchanged(self, name: str) -> bool:
        """A stored value stays good although the limits have become stricter."""
        old = self._before
        if old is None:
            return False
        return self.requests.get(name) == old.requests.get(name) and self.limits.get(name) == old.limits.get(name)


_Rule = Callable[[str, str, Quantity, _Usage], str]


def _pod_problems(limit_range: Object, pod: Object, old: Object | None) -> Iterator[str]:
    for item in spec_of(limit_range).get("limits") or []:
        if item.get("type") == "Container":
            for key in ("containers", "initContainers"):
                before = {c.get("name"): _of_container(c) for c in spec_of(old).get(key) or []}
                for container in spec_of(pod).get(key) or []:
                    usage = _of_container(container, before.get(container.get("name")))
                    yield from _problems(item, usage, _maximum)
        elif item.get("type") == "Pod":
            earlier = _Usage(pod_requests(old), pod_limits(old)) if old else None
            yield from _problems(item, _Usage(pod_requests(pod), pod_limits(pod), earlier), _maximum)


def _claim_problems(limit_range: Object, claim: Object, old: Object | None) -> Iterator[str]:
    def usage(obj: Object, before: _Usage | None = None) -> _Usage:
        return _Usage(parse_amounts((spec_of(obj).get("resources") or {}).get("requests")), {}, before)

    for item in spec_of(limit_range).get("limits") or []:
        if item.get("type") == "PersistentVolumeClaim":
            yield from _problems(item, usage(claim, usage(old) if old else None), _maximum_request)


def _of_container(container: Object, before: _Usage | None = None) -> _Usage:
    resources = container.get("resources") or {}
    return _Usage(parse_amounts(resources.get("requests")), parse_amounts(resources.get("limits")), before)


def _problems(item: Object, usage: _Usage, maximum: _Rule) -> Iterator[str]:
    rules: tuple[tuple[str, _Rule], ...] = (
        ("min", _minimum),
        ("max", maximum),
        ("maxLimitRequestRatio", _ratio),
    )
    for key, rule in rules:
        for name, enforced in sorted(parse_amounts(item.get(key)).items()):
            text = "" if usage.is_unchanged(name) else rule(item["type"], name, enforced, usage)
            if text:
                yield text


def _minimum(kind: str, name: str, enforced: Quantity, usage: _Usage) -> str:
    head = f"minimum {name} usage per {kind} is {enforced}"
    request, limit = usage.requests.get(name), usage.limits.get(name)
    if request is None:
        return f"{head}.  No request is specified"
    if request < enforced:
        return f"{head}, but request is {request}"
    if limit is not None and limit < enforced:
        return f"{head}, but limit is {limit}"
    return ""


def _maximum(kind: str, name: str, enforced: Quantity, usage: _Usage) -> str:
    head = f"maximum {name} usage per {kind} is {enforced}"
    request, limit = usage.requests.get(name), usage.limits.get(name)
    if limit is None:
        return f"{head}.  No limit is specified"
    if enforced < limit:
        return f"{head}, but limit is {limit}"
    if request is not None and enforced < request:
        return f"{head}, but request is {request}"
    return ""


def _maximum_request(kind: str, name: str, enforced: Quantity, usage: _Usage) -> str:
    head = f"maximum {name} usage per {kind} is {enforced}"
    request = usage.requests.get(name)
    if request is None:
        return f"{head}.  No request is specified"
    return f"{head}, but request is {request}" if enforced < request else ""


def _ratio(kind: str, name: str, enforced: Quantity, usage: _Usage) -> str:
    head = f"{name} max limit to request ratio per {kind} is {enforced}"
    request, limit = usage.requests.get(name), usage.limits.get(name)
    if request is None or request.is_zero():
        return f"{head}, but no request is specified or request is 0"
    if limit is None or limit.is_zero():
        return f"{head}, but no limit is specified or limit is 0"
    ratio = Decimal(limit.nanos) / Decimal(request.nanos)
    if ratio * 10**9 <= enforced.nanos:
        return ""
    return f"{head}, but provided ratio is {ratio.quantize(Decimal('1.000000'), ROUND_HALF_EVEN)}"

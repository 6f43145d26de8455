"""Refuses what would go over a namespace's quotas, and adds what is let in to their usage at once.

Source: the "Resource Quotas" page; texts as in apiserver pkg/admission/plugin/resourcequota.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from minikube_py.apiserver.admission.context import AdmissionContext, Plugin, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.errors import Conflict, InternalError, NotFound, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.pod_amounts import Amounts, parse_amounts
from minikube_py.resources.quota_usage import (
    CLAIMS,
    PODS,
    SERVICES,
    Counted,
    is_terminating,
    matches,
    missing_requirements,
    names_for,
    usage,
)

RESOURCE_QUOTAS = GVR("", "v1", "resourcequotas")
_ATTEMPTS = 4


@dataclass(frozen=True)
class _Charge:
    """One quota with its usage after this write."""

    quota: Object
    used: Amounts


class ResourceQuota(Plugin):
    """Charges a namespace's quotas one write after the other, so that two writes can't share one remainder."""

    name = "ResourceQuota"

    def __init__(self, context: AdmissionContext) -> None:
        super().__init__(context)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or not request.namespace or not _is_charged(request):
            return
        if not self.reader.list(RESOURCE_QUOTAS, request.namespace):
            return
        lock = self._locks.setdefault(request.namespace, asyncio.Lock())
        async with lock:
            await self._charge(request)

    async def _charge(self, request: AdmissionRequest) -> None:
        for attempt in range(_ATTEMPTS):
            charges = self._charges(request)
            if request.dry_run or not charges:
                return
            try:
                # Where a later quota conflicts, earlier ones stay charged; the controller puts them right.
                for charge in charges:
                    await self._write(charge)
            except (Conflict, NotFound):
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return

    async def _write(self, charge: _Charge) -> None:
        if self.context.client is None:
            raise InternalError.of("resource quota admission has no client yet")
        status = {**(charge.quota.get("status") or {}), "used": {n: str(a) for n, a in charge.used.items()}}
        await self.context.client.update(
            RESOURCE_QUOTAS, {**charge.quota, "status": status}, options=WriteOptions(subresource="status")
        )

    def _charges(self, request: AdmissionRequest) -> list[_Charge]:
        counted: Counted = (request.info.group, request.info.resource)
        obj = request.obj or {}
        quotas = [q for q in self.reader.list(RESOURCE_QUOTAS, request.namespace) if matches(q, counted, obj)]
        for quota in quotas:
            _check_known(request, quota, counted, obj)
        asked = usage(counted, obj)
        negative = sorted(name for name, amount in asked.items() if amount.nanos < 0)
        if negative:
            raise refuse(request, f"quota usage is negative for resource(s): {','.join(negative)}")
        found = [_charge(request, quota, counted, asked) for quota in quotas]
        return [charge for charge in found if charge is not None]


def _is_charged(request: AdmissionRequest) -> bool:
    counted: Counted = (request.info.group, request.info.resource)
    operation, subresource = request.operation, request.subresource
    if counted == PODS:
        if subresource == "resize":
            return operation == "UPDATE"
        if operation == "UPDATE" and not subresource:
            return is_terminating(request.obj or {}) != is_terminating(request.old or {})
    if counted == CLAIMS and operation == "UPDATE":
        return subresource in ("", "status")
    if counted == SERVICES and operation == "UPDATE":
        return not subresource
    return operation == "CREATE" and not subresource


def _check_known(request: AdmissionRequest, quota: Object, counted: Counted, obj: Object) -> None:
    status = quota.get("status") or {}
    name = quota["metadata"]["name"]
    restricted = names_for(counted, status.get("hard") or {})
    if counted == PODS:
        missing = missing_requirements(obj, restricted)
        if missing:
            raise refuse(request, f"failed quota: {name}: must specify {missing}")
    if any(resource not in (status.get("used") or {}) for resource in restricted):
        raise refuse(request, f"status unknown for quota: {name}, resources: {','.join(restricted)}")


def _charge(request: AdmissionRequest, quota: Object, counted: Counted, asked: Amounts) -> _Charge | None:
    """The quota's usage with this write in it; None when the write changes nothing there."""
    delta = dict(asked)
    old = request.old
    if request.operation == "UPDATE" and old is not None and matches(quota, counted, old):
        for name, amount in usage(counted, old).items():
            if name in delta:
                delta[name] = delta[name] - amount
    status = quota.get("status") or {}
    hard, used = parse_amounts(status.get("hard")), parse_amounts(status.get("used"))
    # What an update gives back is for the controller to count: here usage only grows.
    requested = {name: amount for name, amount in delta.items() if name in hard and amount.nanos > 0}
    if not requested:
        return None
    after = {name: used[name] + amount if name in used else amount for name, amount in requested.items()}
    if request.subresource != "status":
        over = sorted(name for name, amount in after.items() if hard[name] < amount)
        if over:
            parts = (_amounts(requested, over), _amounts(used, over), _amounts(hard, over))
            asked_text, used_text, hard_text = parts
            name = quota["metadata"]["name"]
            text = f"exceeded quota: {name}, requested: {asked_text}, used: {used_text}, limited: {hard_text}"
            raise refuse(request, text)
    return _Charge(quota, {**used, **after})


def _amounts(amounts: Amounts, names: Iterable[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names if name in amounts)

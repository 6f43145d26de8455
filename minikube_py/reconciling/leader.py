"""Elects one of several processes to do a piece of work, by a Lease that the leader renews.

Source: client-go tools/leaderelection. Clocks need not agree: another's Lease has run out when this process has not
seen it change for as long as the Lease is good for. A leader that cannot renew stops its work before others may begin.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from minikube_py import clock, ids
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object
from minikube_py.resources.kind import GVR

log = logging.getLogger(__name__)

LEASES = GVR("coordination.k8s.io", "v1", "leases")
_JITTER = 0.2
Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Election:
    """Which Lease, as whom, and Kubernetes' times in seconds.

    A Lease is good for duration; the leader gives up when it could not renew for renew_deadline; all try every retry.
    """

    name: str
    identity: str
    namespace: str = "kube-system"
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry * (1 + _JITTER):
            raise ValueError("a Lease must be good for longer than the deadline, and that for longer than a retry")


class Leader:
    """One candidate. `run` ends by cancellation only, or with the error that the work raised."""

    def __init__(self, client: Client, election: Election, work: Work) -> None:
        """work is called anew each time the Lease is won, and cancelled when it is lost."""
        self._client = client
        self._election = election
        self._work = work
        self._seen: Object | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self.is_leading = False

    async def run(self) -> None:
        while True:
            await self._acquire()
            await self._lead()

    # --- winning ------------------------------------------------------------------------------------------------------

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(ids.jitter(self._election.retry, _JITTER))

    async def _try(self) -> bool:
        """Take or renew the Lease; whether this process holds it now."""
        began = asyncio.get_running_loop().time()
        try:
            lease = await self._look()
            if lease is None:
                lease = await self._client.create(LEASES, self._new(), self._election.namespace)
            elif self._is_held_by_another(lease):
                return False
            else:
                lease = await self._client.update(LEASES, self._renewed(lease))
        except AlreadyExists:
            return False
        except (ApiError, OSError, TimeoutError) as error:
            log.debug("lease %s: %s", self._election.name, error)
            return False
        self._note(lease)
        self._renewed_at = began
        return True

    async def _look(self) -> Object | None:
        """The Lease as it is. A leader that nobody disturbed knows it: the update tells if that is not so."""
        if self.is_leading and self._seen is not None:
            return self._seen
        try:
            lease = await self._client.get(LEASES, self._election.name, self._election.namespace)
        except NotFound:
            return None
        if self._seen is None or lease["metadata"]["resourceVersion"] != self._seen["metadata"]["resourceVersion"]:
            self._note(lease)
        return lease

    def _note(self, lease: Object) -> None:
        self._seen, self._seen_at = lease, asyncio.get_running_loop().time()

    def _is_held_by_another(self, lease: Object) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self._election.identity:
            return False
        good_for = spec.get("leaseDurationSeconds") or self._election.duration
        return asyncio.get_running_loop().time() < self._seen_at + float(good_for)

    def _new(self) -> Object:
        metadata = {"name": self._election.name, "namespace": self._election.namespace}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {**self._times(), "acquireTime": clock.rfc3339_micro(), "leaseTransitions": 0},
        }

    def _times(self) -> Object:
        election = self._election
        return {
            "holderIdentity": election.identity,
            "leaseDurationSeconds": int(election.duration),
            "renewTime": clock.rfc3339_micro(),
        }

    def _renewed(self, lease: Object) -> Object:
        spec = {**(lease.get("spec") or {})}
        if spec.get("holderIdentity") != self._election.identity:
            spec["acquireTime"] = clock.rfc3339_micro()
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        return {**lease, "spec": {**spec, **self._times()}}

    # --- leading ------------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        log.info("%s leads %s", self._election.identity, self._election.name)
        self.is_leading = True
        work = asyncio.ensure_future(self._work())
        renewing = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait((work, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, renewing):
                task.cancel()
            await asyncio.wait((work, renewing))
            self.is_leading = False
            await self._release()
        if not work.cancelled():
            work.result()
            raise RuntimeError(f"the work under the lease {self._election.name} has ended by itself")
        log.warning("%s no longer leads %s", self._election.identity, self._election.name)

    async def _keep(self) -> None:
        """Renew until that has failed for too long, or somebody else holds the Lease."""
        election, loop = self._election, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(election.retry)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._renewed_at + election.renew_deadline):
                    while not await self._try():
                        self._seen = None
                        lease = await self._read_again()
                        if lease is not None and self._is_held_by_another(lease):
                            return
                        await asyncio.sleep(ids.jitter(election.retry, _JITTER))
            if loop.time() >= self._renewed_at + election.renew_deadline:
                return

    async def _read_again(self) -> Object | None:
        """After a failed renewal: what the Lease is now; None when that can't be told."""
        try:
            lease = await self._client.get(LEASES, self._election.name, self._election.namespace)
        except (ApiError, OSError, TimeoutError):
            return None
        self._note(lease)
        return lease

    async def _release(self) -> None:
        """Let the next one lead at once; after a loss there is nothing to release."""
        lease = self._seen
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._election.identity:
            return
        spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": clock.rfc3339_micro()}
        with suppress(ApiError, OSError, TimeoutError):
            async with asyncio.timeout(self._election.retry):
                await self._client.update(LEASES, {**lease, "spec": spec})
        self._seen = None

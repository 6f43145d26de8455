"""Writes one pod's status to the API: the latest state wins, one write at a time, and only what changed."""

import asyncio
import logging
from collections.abc import Callable

from minikube_py.client.protocol import Client, PatchType, WriteOptions
from minikube_py.kubelet import status as pod_status
from minikube_py.kubelet.kinds import PODS
from minikube_py.objects.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, Object

log = logging.getLogger(__name__)

_STATUS = WriteOptions(subresource="status", is_answer_shared=True)
_RETRY_SECONDS = 2.0
_REPEAT_SECONDS = 10.0


class StatusWriter:
    """written is called with the API's answer after each write."""

    def __init__(self, client: Client, written: Callable[[Object], None]) -> None:
        self._client = client
        self._written = written
        self._pod: Object | None = None
        self._wanted: Object | None = None
        self._last_patch: Object = {}
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the API has the last status that was asked for."""
        return self._wanted is None and self._task is None

    def publish(self, pod: Object, status: Object, *, delay: float = 0.0) -> None:
        """Bring the pod's status in the API to `status`; a delayed write gives way to a later one without delay."""
        if self._task is None and not pod_status.changes(pod.get("status") or {}, status):
            self._forget()
            return
        self._pod, self._wanted = pod, status
        if self._task is not None:
            return
        if delay > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(delay, self._begin)
        else:
            self._begin()

    def close(self) -> None:
        self._forget()
        if self._task is not None:
            self._task.cancel()

    def _forget(self) -> None:
        self._wanted = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None and self._wanted is not None:
            self._task = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        answer: Object | None = None
        try:
            while self._wanted is not None and self._pod is not None:
                pod, wanted = self._pod, self._wanted
                self._wanted = None
                answer = await self._write(pod, wanted)
                if answer is not None:
                    self._drop_stale_wish(_revision(answer))
        finally:
            self._task = None
        if answer is not None:
            self._written(answer)

    def _drop_stale_wish(self, written: int) -> None:
        """Forget what was worked out without knowing the state just written: times in it would go to and fro.

        `written` makes the worker look again, at this state.
        """
        if self._pod is not None and written > _revision(self._pod):
            self._wanted = None

    async def _write(self, pod: Object, wanted: Object) -> Object | None:
        patch = pod_status.changes(pod.get("status") or {}, wanted)
        if not patch:
            return None
        if patch == self._last_patch:
            # The API did not keep what was written, or somebody takes it back: do not race.
            await asyncio.sleep(_REPEAT_SECONDS)
        self._last_patch = patch
        meta = pod["metadata"]
        body = {"metadata": {"uid": meta["uid"]}, "status": patch}
        try:
            return await self._client.patch(
                PODS, meta["name"], body, meta["namespace"], patch_type=PatchType.STRATEGIC, options=_STATUS
            )
        except (NotFound, Conflict):
            return None  # the pod is gone, or another one has its name
        except (Invalid, Forbidden) as error:
            log.error("status of pod %s/%s refused: %s", meta["namespace"], meta["name"], error)
            return None
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("status of pod %s/%s not written: %s", meta["namespace"], meta["name"], error)
            if self._wanted is None:
                self._wanted = wanted
            await asyncio.sleep(_RETRY_SECONDS)
            return None


def _revision(obj: Object) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)

"""A client whose list answers and watch events a test scripts, for the informer alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from minikube_py.client.protocol import ObjectList, Selection, WatchEvent
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR


def thing(name: str, revision: int, uid: str = "", **more: Any) -> Object:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(revision)}
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, **more}


class ScriptedClient:
    """Lists are answered in order (an exception is raised); watch events come from `feed`."""

    def __init__(self, *lists: ObjectList | Exception) -> None:
        self.lists = list(lists)
        self.feed: asyncio.Queue[WatchEvent | Exception | None] = asyncio.Queue()
        self.watched_from: list[str] = []

    async def list(self, gvr: GVR, selection: Selection) -> ObjectList:
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(
        self, gvr: GVR, selection: Selection, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        self.watched_from.append(resource_version)
        while True:
            item = await self.feed.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

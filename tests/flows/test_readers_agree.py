"""Many clients read and watch, in all forms and versions, what others change: each revision looks the same to all."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from tests.support.cluster import https_cluster
from tests.support.http_calls import HttpCalls, http_calls

WRITES = 900
WRITES_A_FLIP = 80
GROUP = "stable.example.com"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.stable.example.com"
MAPS = "/api/v1/namespaces/default/configmaps"
THINGS = {version: f"/apis/{GROUP}/{version}/namespaces/default/things" for version in ("v1", "v2")}
COLLECTIONS = (MAPS, *THINGS.values())
NAMES = ("a", "b", "c")
MERGE = {"Content-Type": "application/merge-patch+json"}
PLAIN = "application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FORMS = (PLAIN, PARTIAL, TABLE)


def definition(storage: str) -> Object:
    schema = {"type": "object", "properties": {"k": {"type": "string"}}}
    versions = [
        {"name": version, "served": True, "storage": version == storage, "schema": {"openAPIV3Schema": schema},
         "selectableFields": [{"jsonPath": ".k"}]} for version in THINGS
    ]  # fmt: skip
    names = {"plural": "things", "kind": "Thing"}
    return {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions}


def selectors(path: str) -> list[str]:
    """Nothing, or what an object passes while k is 1."""
    return ["", "labelSelector=k%3D1", *(["fieldSelector=k%3D1"] if path != MAPS else [])]


@dataclass
class Crowd:
    """The clients, and what they have seen: (kind of collection, name, revision) -> (k, count of the write)."""

    http: HttpCalls
    seen: dict[tuple[bool, str, str], tuple[str, str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    writes: int = 0
    wrote: asyncio.Condition = field(default_factory=asyncio.Condition)
    is_over: bool = False

    async def until(self, writes: int) -> None:
        async with self.wrote:
            await self.wrote.wait_for(lambda: self.is_over or self.writes >= writes)

    def note(self, where: str, path: str, obj: Object) -> tuple[str, str]:
        metadata = obj["metadata"]
        state = (metadata["labels"]["k"], metadata["annotations"]["count"])
        known = self.seen.setdefault((path == MAPS, metadata["name"], metadata["resourceVersion"]), state)
        if known != state:
            self.wrong.append(f"{where} {path}: {state} and not {known} at {metadata['resourceVersion']}")
        if obj.get("kind") == "Thing" and obj["apiVersion"] != f"{GROUP}/{path.split('/')[3]}":
            self.wrong.append(f"{where} {path}: {obj['apiVersion']}")
        return state

    async def write(self) -> None:
        while not self.is_over:
            path, name, k = random.choice(COLLECTIONS), random.choice(NAMES), random.choice("12")
            async with self.wrote:
                self.writes += 1
                self.wrote.notify_all()
            count = str(self.writes)
            if random.random() < 0.15:
                await self.http("DELETE", f"{path}/{name}")
                continue
            metadata = {"name": name, "labels": {"k": k}, "annotations": {"count": count}}
            body: Object = {"metadata": metadata, **({} if path == MAPS else {"k": k})}
            reply = await self.http("PATCH", f"{path}/{name}", body, headers=MERGE)
            if reply.code == 404 and path == MAPS:
                reply = await self.http("POST", path, body)
            elif reply.code == 404:
                made = {"kind": "Thing", "apiVersion": f"{GROUP}/{path.split('/')[3]}", **body}
                reply = await self.http("POST", path, made)
            if reply.code < 300 and self.note("written to", path, reply.json)[0] != k:
                self.wrong.append(f"a write to {path} was lost")

    async def read(self) -> None:
        while not self.is_over:
            path, form = random.choice(COLLECTIONS), random.choice(FORMS)
            if random.random() < 0.5:
                reply = await self.http("GET", f"{path}/{random.choice(NAMES)}", headers={"Accept": form})
                found = [reply.json] if form != TABLE else reply.json.get("rows") or []
                for each in found if reply.code == 200 else []:
                    self.note("got from", path, each["object"] if form == TABLE else each)
                continue
            selector = random.choice(selectors(path))
            accept = form.replace("Metadata;", "MetadataList;")
            listed = (await self.http("GET", f"{path}?{selector}", headers={"Accept": accept})).json
            for each in listed["rows"] if form == TABLE else listed["items"]:
                k, _ = self.note("listed in", path, each["object"] if form == TABLE else each)
                if selector and k != "1":
                    self.wrong.append(f"{path}?{selector} lists one with {k}")

    async def watch(self, path: str, form: str, selector: str) -> None:
        """Again and again from the start: adds and deletes come in turns, and what goes is as it was."""
        where = f"watched as {form} with {selector} in"
        while not self.is_over:
            have: dict[str, tuple[str, str]] = {}
            query = f"watch=1&timeoutSeconds=1&{selector}"
            async with self.http.events(f"{path}?{query}", {"Accept": form}) as events:
                async for event in events:
                    obj = event["object"]["rows"][0]["object"] if form == TABLE else event["object"]
                    self.take(where, path, event["type"], obj, have)
                    if selector and obj["metadata"]["labels"]["k"] != "1":
                        self.wrong.append(f"{where} {path}: one with another label")

    def take(self, where: str, path: str, type_: str, obj: Object, have: dict[str, tuple[str, str]]) -> None:
        name = obj["metadata"]["name"]
        if (name in have) == (type_ == "ADDED"):
            self.wrong.append(f"{where} {path}: {type_} of {name} out of turn")
        if type_ != "DELETED":
            have[name] = self.note(where, path, obj)
            return
        metadata = obj["metadata"]
        if have.pop(name, None) != (metadata["labels"]["k"], metadata["annotations"]["count"]):
            self.wrong.append(f"{where} {path}: {name} went in a state that it was not in")

    async def flip(self) -> None:
        storage = "v1"
        while not self.is_over:
            await self.until(self.writes + WRITES_A_FLIP)
            storage = "v2" if storage == "v1" else "v1"
            await self.http("PATCH", DEFINITION, {"spec": definition(storage)}, headers=MERGE)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        watching = [self.watch(p, form, selector) for p in COLLECTIONS for form in FORMS for selector in selectors(p)]
        return [self.flip(), *(self.write() for _ in range(3)), *(self.read() for _ in range(3)), *watching]


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    async with https_cluster(tmp_path) as cluster, http_calls(cluster) as http:
        body = {"metadata": {"name": "things.stable.example.com"}, "spec": definition("v1")}
        await http("POST", DEFINITION.rpartition("/")[0], body)
        definitions = DEFINITION.rpartition("/")[0]
        async with asyncio.timeout(5), http.events(f"{definitions}?watch=1", {"Accept": PLAIN}) as events:
            async for event in events:
                if get_condition((event["object"].get("status") or {}).get("conditions") or [], "Established"):
                    break
        assert (await http("GET", THINGS["v2"])).code == 200
        yield Crowd(http)


async def test_each_revision_looks_the_same_to_all(crowd: Crowd) -> None:
    async with asyncio.TaskGroup() as group:
        for task in crowd.tasks():
            group.create_task(task)
        await crowd.until(WRITES)
        crowd.is_over = True
        async with crowd.wrote:
            crowd.wrote.notify_all()
    assert crowd.wrong == []

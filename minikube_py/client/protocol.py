"""The only door to the API for everything that is not the API server: one protocol, in process or over HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR


class PatchType(StrEnum):
    """Patch media types."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class WatchEvent(NamedTuple):
    """type is ADDED, MODIFIED, DELETED or BOOKMARK. The object is shared: read it, never change it."""

    type: str
    object: Object


@dataclass(frozen=True)
class ObjectList:
    """A list answer. Items are shared: read them, never change them."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True)
class WriteOptions:
    """Options of create, update and patch. field_manager '' means the client's own name.

    is_answer_shared: the caller only reads the answer, which may then be the object that watchers get too.
    """

    subresource: str = ""
    field_manager: str = ""
    dry_run: bool = False
    force: bool = False
    is_answer_shared: bool = False


SHARED_ANSWER = WriteOptions(is_answer_shared=True)


@dataclass(frozen=True)
class DeleteOptions:
    """Options of delete, as metav1.DeleteOptions."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Selection:
    """Which objects a list or watch is about; selectors in their query-string form, '' for none."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


EVERYTHING = Selection()
PLAIN_WRITE = WriteOptions()
PLAIN_DELETE = DeleteOptions()


class Client(Protocol):
    """API calls as one user. Every call raises an `objects.errors.ApiError` subclass on failure.

    namespace is '' for cluster-scoped resources (and for a list or watch over all namespaces).
    """

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object: ...

    async def list(self, gvr: GVR, selection: Selection = EVERYTHING) -> ObjectList:
        """All objects of the selection (the HTTP client follows continue tokens)."""
        ...

    async def create(
        self, gvr: GVR, obj: Object, namespace: str = "", *, name: str = "", options: WriteOptions = PLAIN_WRITE
    ) -> Object:
        """With options.subresource (binding, eviction, token), name is the parent object's."""
        ...

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions = PLAIN_WRITE) -> Object:
        """Replace the object named in obj.metadata; a resourceVersion in it is the optimistic lock."""
        ...

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        options: WriteOptions = PLAIN_WRITE,
    ) -> Object: ...

    async def delete(
        self, gvr: GVR, name: str, namespace: str = "", *, options: DeleteOptions = PLAIN_DELETE
    ) -> Object: ...

    async def delete_collection(
        self, gvr: GVR, selection: Selection, *, options: DeleteOptions = PLAIN_DELETE
    ) -> None: ...

    def watch(
        self, gvr: GVR, selection: Selection = EVERYTHING, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        """Events after resource_version until the server ends the watch. Raises Expired when it is too old.

        Close the iterator with aclose().
        """
        ...

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        """A request to any other path (/version, discovery); the decoded JSON answer."""
        ...

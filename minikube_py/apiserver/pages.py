"""Pages of a list: continue tokens, and the snapshots that keep every page at the first page's revision."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from minikube_py import clock
from minikube_py.objects.errors import BadRequest, Expired
from minikube_py.store.protocol import Record

# As in Kubernetes, where a compaction comes every five minutes. Its conformance tests wait for a token to expire, which
# the history here would often allow for hours.
TOKEN_SECONDS = 300
_MAX_SNAPSHOTS = 64
_VERSION = "meta.k8s.io/v1"
_INCONSISTENT = -1


@dataclass(frozen=True)
class ContinueToken:
    """Where the next page starts. revision -1: at whatever revision is current. began: when the first page was read."""

    revision: int
    namespace: str
    name: str
    began: int = 0

    def encode(self) -> str:
        place = f"{self.namespace}/{self.name}"
        body = {"v": _VERSION, "rv": self.revision, "start": place, "began": self.began}
        return base64.urlsafe_b64encode(orjson.dumps(body)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "ContinueToken":
        try:
            body = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            if body.get("v") != _VERSION:
                raise _invalid(f"server does not recognize this encoded version {body.get('v') or ''}")
            if body.get("rv") and not body.get("start"):
                raise _invalid(f"encoded start key empty (version {_VERSION})")
            namespace, _, name = body["start"].partition("/")
            found = cls(int(body["rv"]), namespace, name, int(body.get("began", 0)))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error):
            raise _invalid() from None
        if found.revision == 0:
            raise _invalid(f"incorrect encoded start resourceVersion (version {_VERSION})")
        return found

    @property
    def is_consistent(self) -> bool:
        return self.revision > 0

    @property
    def is_expired(self) -> bool:
        return self.is_consistent and clock.seconds() - self.began > TOKEN_SECONDS


def _invalid(why: str = "") -> BadRequest:
    return BadRequest("invalid continue token: continue key is not valid" + (f": {why}" if why else ""))


class PageSnapshots:
    """Records as they stood when a paged list began. Records never change, so a snapshot is a list of references."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int], tuple[float, Sequence[Record]]] = {}

    def keep(self, resource: str, namespace: str, revision: int, records: Sequence[Record]) -> None:
        self._drop_old()
        self._kept[resource, namespace, revision] = (_seconds(), records)
        while len(self._kept) > _MAX_SNAPSHOTS:
            del self._kept[next(iter(self._kept))]

    def find(self, resource: str, namespace: str, revision: int) -> Sequence[Record] | None:
        self._drop_old()
        found = self._kept.get((resource, namespace, revision))
        return found[1] if found is not None else None

    def expire(self) -> None:
        """Forgets every snapshot."""
        self._kept.clear()

    def _drop_old(self) -> None:
        limit = _seconds() - TOKEN_SECONDS
        for place in [p for p, (made, _) in self._kept.items() if made < limit]:
            del self._kept[place]


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def expired(token: ContinueToken) -> Expired:
    """The 410 of a token whose snapshot is gone; it carries a token for the rest at the current revision."""
    error = Expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.list_metadata = {"continue": ContinueToken(_INCONSISTENT, token.namespace, token.name).encode()}
    return error


def after(records: Sequence[Record], token: ContinueToken) -> list[Record]:
    """The records behind the token's place."""
    place = (token.namespace, token.name)
    return [r for r in records if (r.key.namespace, r.key.name) > place]

"""Answers get and list from the store's memory: a get is a lookup of bytes, a list a join of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from minikube_py import clock
from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.keys import key_of
from minikube_py.apiserver.pages import ContinueToken, after, expired
from minikube_py.apiserver.query_options import EXACT, check_list_options, number, revision
from minikube_py.apiserver.selecting import RecordSelection, selection_of
from minikube_py.objects.errors import BadRequest, Expired, NotFound, Object, Timeout
from minikube_py.store.past import list_at
from minikube_py.store.protocol import Record, RevisionTrimmed, WatcherTooSlow

_CHUNK = 16


@dataclass(frozen=True)
class Listing:
    """What a list found: records, the revision they stand at, and how to go on."""

    records: Sequence[Record]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Object:
        """The list's ListMeta."""
        metadata: Object = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def find(call: ApiCall) -> Record:
    """The record of a get. Raises NotFound."""
    check_not_future(call)
    kind, info = call.kind, call.info
    record = call.context.store.get(key_of(kind, info.namespace, info.name))
    if record is None:
        raise NotFound.of(kind.group, kind.plural, info.name)
    return record


async def read_one(call: ApiCall) -> Record:
    """The record of a get, ready to be read in the call's version. Raises NotFound."""
    record = find(call)
    if call.kind.custom:
        await call.context.conversions.ready(call.kind, (record,))
    return record


async def read_many(call: ApiCall) -> Listing:
    """The records of a list, ready to be read in the call's version; one page of them with `limit`."""
    kind, conversions = call.kind, call.context.conversions
    query = _query_of(call)
    records, revision = await _source(call, query)
    if kind.custom and call.info.field_selector:
        await conversions.ready(kind, records)
    chosen = await query.selection.choose_in_turns(records, call.context.turns)
    listing = _listing(call, query, list(chosen), records, revision)
    if kind.custom:
        await conversions.ready(kind, listing.records)
    return listing


@dataclass(frozen=True)
class _Query:
    """exact: the one revision that the list has to be of; 0 for the current one."""

    limit: int
    selection: RecordSelection
    token: ContinueToken | None
    exact: int


def _query_of(call: ApiCall) -> _Query:
    query = call.query
    limit, _ = number(query, "limit"), number(query, "timeoutSeconds")
    selection = selection_of(call)
    token = ContinueToken.decode(query["continue"]) if query.get("continue") else None
    check_list_options(query)
    asked, match = revision(query.get("resourceVersion") or ""), query.get("resourceVersionMatch")
    if token is not None and asked:
        raise BadRequest("specifying resource version is not allowed when using continue")
    if token is not None:
        exact = token.revision if token.is_consistent else 0
    else:
        # A page without resourceVersionMatch is of exactly the revision it names; so it was before there was a match.
        is_page = limit > 0 and not match and not call.info.name
        exact = asked if match == EXACT or is_page else 0
    return _Query(limit, selection, token, exact)


def _listing(
    call: ApiCall, query: _Query, chosen: Sequence[Record], records: Sequence[Record], revision: int
) -> Listing:
    if query.token is not None:
        chosen = after(chosen, query.token)
    if query.limit <= 0 or len(chosen) <= query.limit:
        return Listing(chosen, revision)
    page = chosen[: query.limit]
    kind = call.kind
    call.context.snapshots.keep(kind.store_resource, call.info.namespace, revision, records)
    last = page[-1].key
    began = query.token.began if query.token is not None and query.token.is_consistent else int(clock.seconds())
    more = ContinueToken(revision, last.namespace, last.name, began).encode()
    return Listing(page, revision, more, len(chosen) - query.limit if query.selection.is_all else None)


async def _source(call: ApiCall, query: _Query) -> tuple[Sequence[Record], int]:
    """The records to choose from: the current ones, or those of an exact revision."""
    store, resource, namespace = call.context.store, call.kind.store_resource, call.info.namespace
    check_not_future(call, query.exact)
    if query.token is not None and query.token.is_expired:
        raise expired(query.token)
    if query.exact in (0, store.revision):
        page = store.list(resource, namespace)
        return page.records, page.revision
    kept = call.context.snapshots.find(resource, namespace, query.exact)
    if kept is not None:
        return kept, query.exact
    try:
        return await list_at(store, resource, namespace, query.exact), query.exact
    except (RevisionTrimmed, WatcherTooSlow):
        if query.token is not None:
            raise expired(query.token) from None
        raise Expired("The resourceVersion for the provided list is too old.") from None


def check_not_future(call: ApiCall, exact: int = 0) -> None:
    """A revision that doesn't exist yet is answered like a read that timed out waiting for it."""
    wanted = exact or revision(call.query.get("resourceVersion") or "")
    current = call.context.store.revision
    if wanted > current:
        details = {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }
        raise Timeout(f"Too large resource version: {wanted}, current: {current}", details=details)


def list_chunks(call: ApiCall, listing: Listing) -> Iterator[bytes]:
    """The JSON text of a list in pieces of a few objects."""
    kind = call.kind
    head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}","metadata":'
    prefix = head.encode() + orjson.dumps(listing.metadata) + b',"items":['
    records, data = listing.records, call.context.records.data
    for start in range(0, len(records), _CHUNK):
        part = records[start : start + _CHUNK]
        yield prefix + b",".join([data(kind, r) for r in part])
        prefix = b","
    yield b"]}\n" if records else prefix + b"]}\n"

"""Answers get and list from the store's memory: a get is a lookup of bytes, a list a join of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.keys import key_of
from minikube_py.apiserver.pages import ContinueToken, after, expired
from minikube_py.apiserver.query_options import check_list_options, number, revision
from minikube_py.apiserver.selecting import RecordSelection, selection_of
from minikube_py.objects.errors import BadRequest, NotFound, Timeout
from minikube_py.store.protocol import Record

_CHUNK = 64


@dataclass(frozen=True)
class Listing:
    """What a list found: records, the revision they stand at, and how to go on."""

    records: Sequence[Record]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


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
    """The records of a list, ready to be read in the call's version."""
    kind, conversions = call.kind, call.context.conversions
    if kind.custom and call.info.field_selector:
        await conversions.ready(kind, call.context.store.list(kind.store_resource, call.info.namespace).records)
    query = _query_of(call)
    records, revision = _source(call, query.token)
    chosen = await query.selection.choose_in_turns(records, call.context.turns)
    listing = _listing(call, query, list(chosen), records, revision)
    if kind.custom:
        await conversions.ready(kind, listing.records)
    return listing


def list_records(call: ApiCall) -> Listing:
    """The records of a list, one page of them with `limit`."""
    query = _query_of(call)
    records, revision = _source(call, query.token)
    return _listing(call, query, list(query.selection.choose(records)), records, revision)


@dataclass(frozen=True)
class _Query:
    limit: int
    selection: RecordSelection
    token: ContinueToken | None


def _query_of(call: ApiCall) -> _Query:
    query = call.query
    limit, _ = number(query, "limit"), number(query, "timeoutSeconds")
    selection = selection_of(call)
    token = ContinueToken.decode(query["continue"]) if query.get("continue") else None
    check_list_options(query)
    if token is not None and query.get("resourceVersion", "") not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    return _Query(limit, selection, token)


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
    more = ContinueToken(revision, last.namespace, last.name).encode()
    return Listing(page, revision, more, len(chosen) - query.limit if query.selection.is_all else None)


def _source(call: ApiCall, token: ContinueToken | None) -> tuple[Sequence[Record], int]:
    """The records to choose from: the current ones, or those of the revision that the first page had."""
    store, kind, namespace = call.context.store, call.kind, call.info.namespace
    page = store.list(kind.store_resource, namespace)
    if token is not None and token.is_consistent and token.revision != page.revision:
        kept = call.context.snapshots.find(kind.store_resource, namespace, token.revision)
        if kept is None:
            raise expired(token)
        return kept, token.revision
    check_not_future(call)
    wanted = call.query.get("resourceVersion")
    if call.query.get("resourceVersionMatch") == "Exact" and wanted and int(wanted) != page.revision:
        kept = call.context.snapshots.find(kind.store_resource, namespace, int(wanted))
        if kept is not None:
            return kept, int(wanted)
        if any(r.revision > int(wanted) for r in page.records) or int(wanted) < page.revision:
            raise expired_revision(int(wanted), page.revision)
    return page.records, page.revision


def expired_revision(wanted: int, oldest: int) -> BadRequest:
    return BadRequest(
        f"The resourceVersion for the provided list is too old: {wanted} ({oldest})", reason="Expired", code=410
    )


def check_not_future(call: ApiCall) -> None:
    """A revision that doesn't exist yet is answered like a read that timed out waiting for it."""
    text = call.query.get("resourceVersion")
    if not text:
        return
    current = call.context.store.revision
    if revision(text) > current:
        details = {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }
        raise Timeout(f"Too large resource version: {text}, current: {current}", details=details)


def list_chunks(call: ApiCall, listing: Listing) -> Iterator[bytes]:
    """The JSON text of a list in pieces of a few hundred objects."""
    kind = call.kind
    head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}"'
    head += f',"metadata":{{"resourceVersion":"{listing.revision}"'
    if listing.continue_token:
        head += f',"continue":"{listing.continue_token}"'
    if listing.remaining is not None:
        head += f',"remainingItemCount":{listing.remaining}'
    prefix = (head + '},"items":[').encode()
    records, data = listing.records, call.context.records.data
    for start in range(0, len(records), _CHUNK):
        part = records[start : start + _CHUNK]
        yield prefix + b",".join([data(kind, r) for r in part])
        prefix = b","
    yield b"]}\n" if records else prefix + b"]}\n"

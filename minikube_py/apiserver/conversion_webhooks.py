"""Asks conversion webhooks to bring custom objects into another version, before reading or storing needs them there.

Reading is from memory and never waits, so whoever is about to read calls `ready` first; the results are kept beside the
parsed records. Source: apiextensions-apiserver pkg/apiserver/conversion/webhook_converter.go.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from minikube_py import ids
from minikube_py.apiserver.outbound import Outbound, OutboundError, target_of
from minikube_py.apiserver.records import Records, revision_of_state, stored_api_version
from minikube_py.objects.errors import InternalError, Object
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.protocol import Record

GROUP = "apiextensions.k8s.io"
_TIMEOUT_SECONDS = 30.0
_KEPT = 4096
_OBJECTS_A_CALL = 500


class _Refused(Exception):
    """An answer that can't be used."""


class ConversionWebhooks:
    """outbound makes the calls; the server's own takes its place once there is one."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.outbound = Outbound()

    async def ready(self, kind: ResourceKind, records: Sequence[Record]) -> None:
        """Converts what of the records is stored in another version. Raises InternalError when the webhook does not."""
        schema = kind.custom_schema
        if schema is None or schema.webhook is None:
            return
        kept, version = self._records.converted, kind.api_version
        missing = [
            record
            for record in records
            if (kind.gvk, record.key, revision_of_state(record)) not in kept and stored_api_version(record) != version
        ]
        for start in range(0, len(missing), _OBJECTS_A_CALL):
            part = missing[start : start + _OBJECTS_A_CALL]
            objects = await convert_objects(
                schema.webhook, [orjson.loads(r.data) for r in part], version, self.outbound
            )
            for record, obj in zip(part, objects, strict=True):
                kept[kind.gvk, record.key, revision_of_state(record)] = obj
        if missing:
            bound = max(_KEPT, 2 * len(records))
            while len(kept) > bound:
                del kept[next(iter(kept))]

    async def to_storage(self, kind: ResourceKind, obj: Object) -> Object:
        """The object in the version it is stored in. Raises InternalError."""
        wanted = kind.storage_gvk.api_version
        schema = kind.custom_schema
        if schema is None or schema.webhook is None or kind.api_version == wanted:
            return obj
        return (await convert_objects(schema.webhook, [obj], wanted, self.outbound))[0]


async def convert_objects(
    webhook: Mapping[str, Any], objects: list[Object], version: str, outbound: Outbound
) -> list[Object]:
    """The objects in another version, in order. Raises InternalError."""
    came = f"{objects[0].get('apiVersion')}, Kind={objects[0].get('kind')}"
    try:
        return await _ask(webhook, objects, version, outbound)
    except OutboundError as error:
        raise InternalError(f"conversion webhook for {came} failed: {error}") from None
    except _Refused as error:
        raise InternalError(f"conversion webhook for {came} {error}") from None


async def _ask(webhook: Mapping[str, Any], objects: list[Object], version: str, outbound: Outbound) -> list[Object]:
    known = (v for v in webhook.get("conversionReviewVersions") or () if v in ("v1", "v1beta1"))
    review, uid = next(known, ""), ids.uid()
    if not review:
        raise _Refused("failed: no supported conversion review versions")
    body = orjson.dumps({
        "kind": "ConversionReview", "apiVersion": f"{GROUP}/{review}",
        "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects},
    })  # fmt: skip
    target = target_of(webhook.get("clientConfig") or {})
    answer = await outbound.post_json(target, body, _TIMEOUT_SECONDS, is_told=False)
    if answer.code != 200:
        raise _Refused(f"failed: the server responded with the status code {answer.code}")
    made = _read(answer.body, review, uid)
    if len(made) != len(objects):
        raise _Refused(f"returned {len(made)} objects, expected {len(objects)}")
    for index, (old, new) in enumerate(zip(objects, made, strict=True)):
        _restore(old, new, version, index)
    return made


def _read(body: bytes, review: str, uid: str) -> list[Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Refused(f"failed: json parse error: {error}") from None
    response = answer.get("response") if isinstance(answer, dict) else None
    if review == "v1":
        wanted, found = f"{GROUP}/v1", f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
        if found != f"{wanted}, Kind=ConversionReview":
            raise _Refused(f"failed: expected webhook response of {wanted}, Kind=ConversionReview, got {found}")
    if not isinstance(response, dict):
        raise _Refused("failed: no response provided")
    if review == "v1" and response.get("uid") != uid:
        raise _Refused(f'failed: expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        text = result.get("message") or f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise _Refused(f"failed: {text}")
    return list(response.get("convertedObjects") or ())


def _restore(old: Object, new: Any, version: str, index: int) -> None:
    """Checks a converted object; of its metadata only labels and annotations are the webhook's to change."""
    where = f"returned invalid converted object at index {index}"
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise _Refused(f"{where}: it is no object")
    if new.get("apiVersion") != version:
        raise _Refused(f"{where}: invalid groupVersion (expected {version}, received {new.get('apiVersion')})")
    if new.get("kind") != old.get("kind"):
        raise _Refused(f"{where}: invalid kind (expected {old.get('kind')}, received {new.get('kind')})")
    before, after = old["metadata"], new["metadata"]
    for key in ("name", "namespace", "uid"):
        if (before.get(key) or "") != (after.get(key) or ""):
            raise _Refused(f"{where}: must have the same {key}: {before.get(key)} != {after.get(key)}")
    new["metadata"] = {
        **{key: value for key, value in before.items() if key not in ("labels", "annotations")},
        **{key: after[key] for key in ("labels", "annotations") if after.get(key)},
    }

"""Collects what happens to one request and writes it down at each stage, as audit.k8s.io/v1 Events.

Source: the "Auditing" page and audit.k8s.io/v1 Event; what is taken when as in apiserver pkg/audit and filters/audit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from minikube_py import clock, ids
from minikube_py.apiserver.admission.protocol import PATCH_ANNOTATION
from minikube_py.apiserver.audit.policy import (
    PANIC,
    REQUEST_RECEIVED,
    RESPONSE_COMPLETE,
    RESPONSE_STARTED,
    Level,
    Verdict,
)
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import ApiError, Object

MAX_USER_AGENT = 1024
_MAX_AUDIT_ID = 64
_LONG_VERBS = frozenset(("watch", "proxy"))
_LONG_SUBRESOURCES = frozenset(("attach", "exec", "proxy", "log", "portforward"))
_STATUS_PARTS = ("status", "message", "reason", "details", "code")

Sink = Callable[[bytes], None]
"""Takes one event as a line of JSON, and does not wait."""


@dataclass(frozen=True)
class Origin:
    """Where a request came from. audit_id is the client's own, if it named one."""

    uri: str
    source_ips: tuple[str, ...] = ()
    user_agent: str = ""
    audit_id: str = ""


class AuditTrail:
    """One request's event. `annotations` is what the parts on its way add to."""

    def __init__(self, sink: Sink, verdict: Verdict, subject: tuple[UserInfo, RequestInfo], origin: Origin) -> None:
        user, info = subject
        self._sink = sink
        self._verdict = verdict
        self.annotations: dict[str, str] = {}
        self.audit_id = origin.audit_id if 0 < len(origin.audit_id) <= _MAX_AUDIT_ID else ids.uid()
        self.is_long = info.is_resource and (info.verb in _LONG_VERBS or info.subresource in _LONG_SUBRESOURCES)
        self.is_streaming = False
        self._is_over = False
        self._status: Object | None = None
        self._reference = _reference(info) if info.is_resource else None
        self._request_object: bytes | None = None
        self._response_object: bytes | None = None
        self._impersonated: Object | None = None
        self._received = clock.rfc3339_micro()
        agent = origin.user_agent
        self._head: Object = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": str(verdict.level),
            "auditID": self.audit_id,
            "stage": "",
            "requestURI": origin.uri,
            "verb": info.verb,
            "user": user.to_dict(),
            "sourceIPs": list(origin.source_ips),
            "userAgent": agent if len(agent) <= MAX_USER_AGENT else agent[:MAX_USER_AGENT] + "...TRUNCATED",
        }

    # -- what is known of the request

    @property
    def wants_request(self) -> bool:
        return self._verdict.level >= Level.REQUEST

    @property
    def wants_response(self) -> bool:
        return self._verdict.level >= Level.REQUEST_RESPONSE

    def impersonate(self, user: UserInfo, constraint: str) -> None:
        self._impersonated = user.to_dict()
        if constraint:
            self._head["authenticationMetadata"] = {"impersonationConstraint": constraint}

    def take_request(self, body: Any, verb: str) -> None:
        """The decoded request body: a patch stays the patch it is."""
        if verb != "patch" and isinstance(body, dict) and self._reference is not None:
            _complete_reference(self._reference, body.get("metadata"))
        if self.wants_request and body is not None:
            self._request_object = orjson.dumps(self._visible(body))

    # -- stages

    def receive(self) -> None:
        self._write(REQUEST_RECEIVED, self._received)

    def start(self, code: int) -> None:
        """The response has begun; only requests that last are told about it."""
        if self._status is None:
            self._status = {"metadata": {}, "code": code}
            if self.is_long:
                self._write(RESPONSE_STARTED)

    def refuse(self, code: int, message: str) -> None:
        """Nobody was found to have asked: the one event of a failed authentication."""
        self._is_over = True
        self._status = {"metadata": {}, "message": message, "code": code}
        self._write(RESPONSE_STARTED)

    def answer(self, code: int, body: Any) -> None:
        """What the client is told: a tree, or JSON text. A Status goes into the event at every level."""
        tree = body
        if isinstance(body, bytes):
            is_tree_needed = code >= 400 or (self.wants_response and self._verdict.omit_managed_fields)
            tree = _loads(body) if is_tree_needed else None
        status: Object = {"metadata": {}}
        if isinstance(tree, dict) and tree.get("kind") == "Status":
            status |= {key: tree[key] for key in _STATUS_PARTS if key in tree}
        status["code"] = code
        self._status = status
        if self.wants_response:
            self._response_object = orjson.dumps(self._visible(tree)) if tree is not None else (body or None)

    def complete(self) -> None:
        """The end, once; a request whose client went away before an answer is said to be closed early."""
        if self._is_over:
            return
        self._is_over = True
        if self._status is None:
            self._status = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
            if self.is_long:
                self._write(RESPONSE_STARTED)
        self._write(RESPONSE_COMPLETE)

    def abandon(self) -> None:
        """The handler is done with the request: completed, unless a stream goes on."""
        if not self.is_streaming:
            self.complete()

    def panic(self, error: Exception) -> None:
        """A fault of the server's own; no ResponseComplete follows."""
        self._is_over = True
        why = f"APIServer panic'd: {type(error).__name__}: {error}"
        reason = {"status": "Failure", "message": why, "reason": "InternalError", "code": 500}
        self._status = {"metadata": {}, **reason}
        self._write(PANIC)

    @contextmanager
    def until_answered(self) -> Iterator[None]:
        """For calls in the process: errors that leave the block are the answer; the end of the block is the end."""
        try:
            yield
        except ApiError as error:
            self.answer(error.code, error.to_status())
            raise
        except Exception as error:
            self.panic(error)
            raise
        finally:
            self.complete()

    def _write(self, stage: str, moment: str = "") -> None:
        if stage in self._verdict.omit_stages:
            return
        event = {**self._head, "stage": stage}
        if self._impersonated is not None:
            event["impersonatedUser"] = self._impersonated
        if self._reference is not None:
            event["objectRef"] = self._reference
        if self._status is not None:
            event["responseStatus"] = self._status
        if self._request_object is not None:
            event["requestObject"] = orjson.Fragment(self._request_object)
        if self._response_object is not None and stage != RESPONSE_STARTED:
            event["responseObject"] = orjson.Fragment(self._response_object)
        event["requestReceivedTimestamp"] = self._received
        event["stageTimestamp"] = moment or clock.rfc3339_micro()
        annotations = self.annotations
        if annotations and not self.wants_request:
            annotations = {key: text for key, text in annotations.items() if not key.startswith(PATCH_ANNOTATION)}
        if annotations:
            event["annotations"] = annotations
        self._sink(orjson.dumps(event) + b"\n")

    def _visible(self, tree: Any) -> Any:
        """The tree without managedFields where the policy omits them: of an object, a list's items, a Table's rows."""
        if not self._verdict.omit_managed_fields or not isinstance(tree, dict):
            return tree
        tree = _without_managed_fields(tree)
        if isinstance(tree.get("items"), list):
            tree["items"] = [_without_managed_fields(item) for item in tree["items"]]
        if isinstance(tree.get("rows"), list):
            rows = (row if isinstance(row, dict) else {} for row in tree["rows"])
            tree["rows"] = [{**row, "object": _without_managed_fields(row.get("object"))} for row in rows]
        return tree


def _without_managed_fields(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return {**tree}
    return {**tree, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _reference(info: RequestInfo) -> Object:
    parts = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {key: value for key, value in parts.items() if value}


def _complete_reference(reference: Object, metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        return
    for key in ("namespace", "name", "uid", "resourceVersion"):
        value = metadata.get(key)
        if value and isinstance(value, str):
            reference.setdefault(key, value)


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

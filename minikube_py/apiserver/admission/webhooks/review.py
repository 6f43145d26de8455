"""Writes AdmissionReviews and reads their answers.

Source: apiserver pkg/admission/plugin/webhook/{request/admissionreview,errors/statuserror}.go; the API reference of
admission.k8s.io.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from minikube_py.apiserver.admission.expressions import request_value
from minikube_py.apiserver.admission.matching import Match
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import ApiError, Object, from_status

GROUP = "admission.k8s.io"


class InvalidReview(Exception):
    """An answer that is not what the server asked for."""


@dataclass(frozen=True)
class Verdict:
    """What a webhook said. status is the Status of a refusal; patch None where it changes nothing."""

    is_allowed: bool
    status: Object = field(default_factory=dict)
    patch: list[Any] | None = None
    audit_annotations: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def review(request: AdmissionRequest, match: Match, version: str, uid: str, objects: tuple[Any, Any]) -> bytes:
    """The request's text. objects: the new and the old one, in the version that the webhook matched."""
    value = request_value(request, match)
    new, old = objects
    return orjson.dumps({
        "kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}",
        "request": {"uid": uid, **value, "object": new, "oldObject": old},
    })  # fmt: skip


def read_answer(body: bytes, version: str, uid: str, *, may_patch: bool) -> Verdict:
    """Raises InvalidReview."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidReview(f"couldn't get version/kind; json parse error: {error}") from None
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise InvalidReview("webhook response was absent")
    wanted, found = f"{GROUP}/{version}", answer.get("apiVersion")
    if version == "v1":
        if found != wanted or answer.get("kind") != "AdmissionReview":
            shown = f"{found or ''}, Kind={answer.get('kind') or ''}"
            raise InvalidReview(f"expected webhook response of {wanted}, Kind=AdmissionReview, got {shown}")
        if response.get("uid") != uid:
            raise InvalidReview(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    warnings = response.get("warnings") or ()
    return Verdict(
        response.get("allowed") is True,
        response.get("status") or {},
        _patch(response, version, may_patch=may_patch),
        response.get("auditAnnotations") or {},
        tuple(str(warning) for warning in warnings),
    )


def _patch(response: Object, version: str, *, may_patch: bool) -> list[Any] | None:
    text, kind = response.get("patch"), response.get("patchType")
    if not may_patch:
        if version == "v1" and text:
            raise InvalidReview("validating webhook may not return response.patch")
        if version == "v1" and kind is not None:
            raise InvalidReview("validating webhook may not return response.patchType")
        return None
    if text and kind is None and version == "v1":
        raise InvalidReview("webhook returned response.patch but not response.patchType")
    if not text and kind is not None and version == "v1":
        raise InvalidReview("webhook returned response.patchType but not response.patch")
    if not text:
        return None
    if kind not in (None, "JSONPatch"):
        raise InvalidReview(f'webhook returned invalid response.patchType of "{kind}"')
    try:
        patch = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, TypeError) as error:
        raise InvalidReview(f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise InvalidReview("received undecodable patch in webhook response: it is no list of operations")
    return patch or None


def refusal(name: str, status: Object) -> ApiError:
    """The error that a webhook's refusal is."""
    denied = f'admission webhook "{name}" denied the request'
    code = int(status.get("code") or 0)
    text = status.get("message") or status.get("reason")
    message = f"{denied}: {text}" if text else f"{denied} without explanation"
    return from_status({**status, "message": message, "code": code if code >= 400 else 400})

"""Answers the review kinds: who am I, who is this, what may I, what may they.

Source: authentication.k8s.io/v1 and authorization.k8s.io/v1 API reference; checks and texts as in
pkg/apis/authorization/validation and pkg/registry/authorization.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from minikube_py import clock
from minikube_py.apiserver.authn.protocol import Authenticated
from minikube_py.apiserver.authz.node import node_name_of
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import BadRequest, Invalid, Object, Unauthorized
from minikube_py.resources.fields import FieldErrors, Path

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"

TokenCheck = Callable[[str, Sequence[str]], Awaitable[Authenticated | None]]
Review = Callable[[Object, UserInfo, str], Awaitable[Object]]
"""(body, user, namespace) -> the body with its status."""


class Reviews:
    """check_token is UnionAuthenticator.authenticate_token."""

    def __init__(self, authorizer: Authorizer, check_token: TokenCheck) -> None:
        self._authorizer = authorizer
        self._check_token = check_token

    def handlers(self) -> dict[tuple[str, str], Review]:
        """By (group, resource); each kind can only be created."""
        return {
            (AUTHENTICATION, "tokenreviews"): self.token_review,
            (AUTHENTICATION, "selfsubjectreviews"): self.self_subject_review,
            (AUTHORIZATION, "subjectaccessreviews"): self.subject_access_review,
            (AUTHORIZATION, "localsubjectaccessreviews"): self.local_subject_access_review,
            (AUTHORIZATION, "selfsubjectaccessreviews"): self.self_subject_access_review,
            (AUTHORIZATION, "selfsubjectrulesreviews"): self.self_subject_rules_review,
        }

    async def token_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        spec = body.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        status: Object = {}
        try:
            answer = await self._check_token(token, spec.get("audiences") or ())
        except Unauthorized as error:
            answer, status["error"] = None, error.message
        if answer is None:
            status = {"user": {}, **status}
        else:
            status = {"authenticated": True, "user": answer.user.to_dict()}
            if answer.audiences:
                status["audiences"] = list(answer.audiences)
        return _with_status(body, status)

    async def self_subject_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        metadata = body.setdefault("metadata", {})
        metadata.setdefault("creationTimestamp", clock.rfc3339())
        return _with_status(body, {"userInfo": user.to_dict()})

    async def subject_access_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        _validate_subject_review("SubjectAccessReview", body)
        return self._answer(body, _subject_of(body["spec"]))

    async def local_subject_access_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        _validate_subject_review("LocalSubjectAccessReview", body)
        resource = body["spec"].get("resourceAttributes") or {}
        if resource.get("namespace", "") != namespace:
            raise BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        return self._answer(body, _subject_of(body["spec"]))

    async def self_subject_access_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        errors = FieldErrors()
        _check_attributes(body.get("spec") or {}, errors)
        _raise_if(errors, "SelfSubjectAccessReview")
        return self._answer(body, user)

    async def self_subject_rules_review(self, body: Object, user: UserInfo, namespace: str) -> Object:
        wanted = (body.get("spec") or {}).get("namespace") or ""
        if not wanted:
            raise BadRequest("no namespace on request")
        resource_rules, url_rules = self._authorizer.rules_for(user, wanted)
        is_node = node_name_of(user) is not None
        status: Object = {"resourceRules": resource_rules, "nonResourceRules": url_rules, "incomplete": is_node}
        if is_node:
            status["evaluationError"] = "node authorizer does not support user rule resolution"
        return _with_status(body, status)

    def _answer(self, body: Object, subject: UserInfo) -> Object:
        decision = self._authorizer.authorize(subject, request_of(body["spec"]))
        status: Object = {"allowed": decision.verdict is Verdict.ALLOW}
        if decision.verdict is Verdict.DENY:
            status["denied"] = True
        if decision.reason:
            status["reason"] = decision.reason
        return _with_status(body, status)


def request_of(spec: Object) -> RequestInfo:
    """The request that a review's spec describes."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return RequestInfo(path=path.get("path", ""), verb=path.get("verb", ""))
    resource = spec.get("resourceAttributes") or {}
    return RequestInfo(
        path="",
        verb=resource.get("verb", ""),
        is_resource=True,
        group=resource.get("group", ""),
        version=resource.get("version", ""),
        resource=resource.get("resource", ""),
        subresource=resource.get("subresource", ""),
        namespace=resource.get("namespace", ""),
        name=resource.get("name", ""),
        field_selector=_selector_text(resource.get("fieldSelector")),
        label_selector=_selector_text(resource.get("labelSelector")),
    )


def _selector_text(selector: Any) -> str:
    """rawSelector, or the equality requirements as a selector (others restrict nothing that is asked here)."""
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    terms = []
    for term in selector.get("requirements") or []:
        values = term.get("values") or []
        if term.get("operator") == "In" and len(values) == 1:
            terms.append(f"{term.get('key', '')}={values[0]}")
    return ",".join(terms)


def _subject_of(spec: Object) -> UserInfo:
    return UserInfo(
        spec.get("user", ""),
        uid=spec.get("uid", ""),
        groups=tuple(spec.get("groups") or ()),
        extra={key: tuple(values) for key, values in (spec.get("extra") or {}).items()},
    )


def _validate_subject_review(kind: str, body: Object) -> None:
    errors = FieldErrors()
    spec = body.get("spec") or {}
    _check_attributes(spec, errors)
    if not spec.get("user") and not spec.get("groups"):
        errors.invalid(
            Path("spec").child("user"), spec.get("user", ""), "at least one of user or group must be specified"
        )
    if kind == "LocalSubjectAccessReview" and spec.get("nonResourceAttributes") is not None:
        path = Path("spec").child("nonResourceAttributes")
        errors.invalid(path, spec["nonResourceAttributes"], "disallowed on this kind of request")
    _raise_if(errors, kind)


def _check_attributes(spec: Object, errors: FieldErrors) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        errors.invalid(
            Path("spec").child("nonResourceAttributes"),
            path,
            "cannot be specified in combination with resourceAttributes",
        )
    if resource is None and path is None:
        errors.invalid(
            Path("spec").child("resourceAttributes"),
            None,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )


def _raise_if(errors: FieldErrors, kind: str) -> None:
    if errors:
        raise Invalid.of(AUTHORIZATION, kind, "", errors.causes)


def _with_status(body: Object, status: Object) -> Object:
    body.setdefault("metadata", {})
    body["status"] = status
    return body

"""Decides whether a webhook is to be called for a request, and calls it.

Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go and the dispatchers of the two plugins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import orjson

from minikube_py import ids
from minikube_py.apiserver.admission.conditions import ConditionError, hold
from minikube_py.apiserver.admission.context import AdmissionContext, refuse
from minikube_py.apiserver.admission.counts import CALL_FAILED, REFUSED, SERVER_FAILED
from minikube_py.apiserver.admission.expressions import Inputs, off_the_loop_when_long
from minikube_py.apiserver.admission.matching import Match
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.admission.webhooks.hooks import Webhook
from minikube_py.apiserver.admission.webhooks.review import InvalidReview, Verdict, read_answer, refusal, review
from minikube_py.apiserver.outbound import Answer, OutboundError
from minikube_py.objects.errors import ApiError, BadRequest, InternalError


class CallFailed(Exception):
    """A webhook that could not be asked, or gave no usable answer: its failurePolicy says what then. code is the HTTP
    status that this comes to."""

    def __init__(self, name: str, why: str, code: int = 503) -> None:
        super().__init__(f'failed calling webhook "{name}": {why}')
        self.code = code


class Denied(Exception):
    """A webhook's refusal; `error` is what the client is told."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass
class Calls:
    """The webhook calls of one request. type_ names their kind in metrics: admit or validating."""

    context: AdmissionContext
    request: AdmissionRequest
    type_: str

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.request, self.context.equivalents, self.context.authorizer)

    async def match(self, hook: Webhook) -> Match | None:
        """Raises Forbidden when the match conditions can't be evaluated, NotFound for a missing namespace."""
        match = hook.constraints.find(self.request, self.context.equivalents)
        if match is None or not hook.conditions:
            return match
        seen, counts, place, began = await self.inputs.of(match), self.context.counts, self._place(hook), perf_counter()
        try:
            is_wanted = await off_the_loop_when_long(
                lambda on_loop: hold(hook.conditions, seen, fails_closed=hook.fails_closed, on_loop=on_loop)
            )
        except ConditionError as error:
            counts.condition_failed(place)
            raise refuse(self.request, str(error)) from None
        counts.conditions(place, perf_counter() - began, holds=is_wanted)
        return match if is_wanted else None

    def _place(self, hook: Webhook) -> tuple[str, str, str]:
        return hook.name, self.type_, self.request.operation

    @contextmanager
    def measured(self, hook: Webhook) -> Iterator[None]:
        """Counts the call that is made inside, with what becomes of its answer; Denied leaves as its ApiError."""
        counts, place, began = self.context.counts, self._place(hook), perf_counter()
        try:
            yield
        except CallFailed as error:
            counts.webhook(place, perf_counter() - began, error.code, CALL_FAILED if hook.fails_closed else "")
            if not hook.fails_closed:
                counts.failed_open(hook.name, self.type_)
            raise
        except Denied as denied:
            counts.webhook(place, perf_counter() - began, denied.error.code, REFUSED)
            raise denied.error from None
        except ApiError:
            counts.webhook(place, perf_counter() - began, 0, SERVER_FAILED)
            raise
        counts.webhook(place, perf_counter() - began, 200)

    async def ask(self, hook: Webhook, match: Match, *, may_patch: bool) -> Verdict:
        """Calls the webhook, takes over its warnings and audit annotations. Raises CallFailed, Denied."""
        request = self.request
        if request.dry_run and not hook.may_dry_run:
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid, version = ids.uid(), hook.version
        if not version:
            raise CallFailed(hook.name, "webhook does not accept known AdmissionReview versions (v1, v1beta1)")
        seen = await self.inputs.of(match)
        body = review(request, match, version, uid, (seen["object"], seen["oldObject"]))
        try:
            answer = await self.context.outbound.post_json(hook.target, body, hook.timeout)
        except OutboundError as error:
            raise CallFailed(hook.name, f"failed to call webhook: {error}") from None
        if answer.code != 200:
            raise CallFailed(hook.name, f"failed to call webhook: {_problem(answer)}", answer.code)
        try:
            verdict = read_answer(answer.body, version, uid, may_patch=may_patch)
        except InvalidReview as error:
            raise CallFailed(hook.name, f"received invalid webhook response: {error}") from None
        for key, value in verdict.audit_annotations.items():
            request.annotate(f"{hook.name}/{key}", str(value))
        request.warnings.extend(verdict.warnings)
        if not verdict.is_allowed:
            raise Denied(refusal(hook.name, verdict.status))
        return verdict


def _problem(answer: Answer) -> str:
    """What an HTTP error means, as Kubernetes' client words it."""
    try:
        status = orjson.loads(answer.body)
        if isinstance(status, dict) and status.get("kind") == "Status" and status.get("message"):
            return str(status["message"])
    except orjson.JSONDecodeError:
        pass
    if answer.code == 404:
        return "the server could not find the requested resource"
    if answer.code >= 500:
        text = answer.body[:2048].decode(errors="replace").strip()
        return f'an error on the server ("{text}") has prevented the request from succeeding'
    return f"the server responded with the status code {answer.code} but did not return more information"


def failed_closed(error: CallFailed) -> InternalError:
    return InternalError.of(str(error))

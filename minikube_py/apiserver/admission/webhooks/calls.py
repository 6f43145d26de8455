"""Decides whether a webhook is to be called for a request, and calls it.

Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go and the dispatchers of the two plugins.
"""

from dataclasses import dataclass

import orjson

from minikube_py import ids
from minikube_py.apiserver.admission.conditions import ConditionError, hold
from minikube_py.apiserver.admission.context import AdmissionContext, refuse
from minikube_py.apiserver.admission.expressions import Inputs, off_the_loop_when_long
from minikube_py.apiserver.admission.matching import Match
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.admission.webhooks.hooks import Webhook
from minikube_py.apiserver.admission.webhooks.review import InvalidReview, Verdict, read_answer, refusal, review
from minikube_py.apiserver.outbound import Answer, OutboundError
from minikube_py.objects.errors import BadRequest, InternalError


class CallFailed(Exception):
    """A webhook that could not be asked, or gave no usable answer: its failurePolicy says what then."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f'failed calling webhook "{name}": {why}')


@dataclass
class Calls:
    """The webhook calls of one request."""

    context: AdmissionContext
    request: AdmissionRequest

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.request, self.context.equivalents, self.context.authorizer)

    async def match(self, hook: Webhook) -> Match | None:
        """Raises Forbidden when the match conditions can't be evaluated, NotFound for a missing namespace."""
        match = hook.constraints.find(self.request, self.context.equivalents)
        if match is None or not hook.conditions:
            return match
        seen = await self.inputs.of(match)
        try:
            is_wanted = await off_the_loop_when_long(
                lambda on_loop: hold(hook.conditions, seen, fails_closed=hook.fails_closed, on_loop=on_loop)
            )
        except ConditionError as error:
            raise refuse(self.request, str(error)) from None
        return match if is_wanted else None

    async def ask(self, hook: Webhook, match: Match, *, may_patch: bool) -> Verdict:
        """Calls the webhook, takes over its warnings and audit annotations. Raises CallFailed, and its refusal."""
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
            raise CallFailed(hook.name, f"failed to call webhook: {_problem(answer)}")
        try:
            verdict = read_answer(answer.body, version, uid, may_patch=may_patch)
        except InvalidReview as error:
            raise CallFailed(hook.name, f"received invalid webhook response: {error}") from None
        for key, value in verdict.audit_annotations.items():
            request.annotate(f"{hook.name}/{key}", str(value))
        request.warnings.extend(verdict.warnings)
        if not verdict.is_allowed:
            raise refusal(hook.name, verdict.status)
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

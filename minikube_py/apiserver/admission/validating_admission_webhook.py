"""ValidatingAdmissionWebhook: lets other programs refuse what clients write; all are asked at once.

Source: the "Dynamic Admission Control" page; texts as in apiserver pkg/admission/plugin/webhook/validating.
"""

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.matching import Match, is_exempt
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import ApiError
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.webhooks.calls import Calls
    from minikube_py.apiserver.admission.webhooks.hooks import Webhook, WebhookHooks

CONFIGURATIONS = GVR("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
_LOG = logging.getLogger(__name__)


class ValidatingAdmissionWebhook(Plugin):
    name = "ValidatingAdmissionWebhook"

    @cached_property
    def _hooks(self) -> "WebhookHooks":
        from minikube_py.apiserver.admission.webhooks.hooks import WebhookHooks  # noqa: PLC0415  brings the evaluator

        return WebhookHooks(self.reader, CONFIGURATIONS, self.context.equivalents)

    async def validate(self, request: AdmissionRequest) -> None:
        if not self.reader.changed_at(CONFIGURATIONS) or is_exempt(request):
            return
        hooks = self._hooks.relevant(request)
        if not hooks:
            return
        from minikube_py.apiserver.admission.webhooks.calls import Calls  # noqa: PLC0415

        calls, wanted = Calls(self.context, request, "validating"), []
        for _, hook in hooks:
            match = await calls.match(hook)
            if match is not None:
                wanted.append((hook, match))
        if not wanted:
            return
        refusals = await asyncio.gather(*(_ask(calls, *one, index) for index, one in enumerate(wanted)))
        for refusal in refusals:
            if refusal is not None:
                raise refusal


async def _ask(calls: "Calls", hook: "Webhook", match: Match, index: int) -> ApiError | None:
    from minikube_py.apiserver.admission.webhooks.calls import CallFailed, failed_closed  # noqa: PLC0415

    try:
        with calls.measured(hook):
            await calls.ask(hook, match, may_patch=False)
    except CallFailed as error:
        if hook.fails_closed:
            return failed_closed(error)
        _LOG.warning("failing open: %s", error)
        calls.request.annotate(f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}", hook.name)
    except ApiError as error:
        return error
    return None

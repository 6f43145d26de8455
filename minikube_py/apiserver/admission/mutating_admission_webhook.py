"""MutatingAdmissionWebhook: lets other programs change what clients write, one after the other.

Source: the "Dynamic Admission Control" page; texts as in apiserver pkg/admission/plugin/webhook/mutating.
"""

import logging
from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.counts import ADMIT
from minikube_py.apiserver.admission.matching import Match, is_exempt
from minikube_py.apiserver.admission.protocol import PATCH_ANNOTATION, AdmissionRequest
from minikube_py.apiserver.admission.reinvocation import Reinvocation
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.webhooks.calls import Calls
    from minikube_py.apiserver.admission.webhooks.hooks import Webhook, WebhookHooks

CONFIGURATIONS = GVR("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations")
_LOG = logging.getLogger(__name__)


class MutatingAdmissionWebhook(Plugin):
    name = "MutatingAdmissionWebhook"

    @cached_property
    def _hooks(self) -> "WebhookHooks":
        from minikube_py.apiserver.admission.webhooks.hooks import WebhookHooks  # noqa: PLC0415  brings the evaluator

        return WebhookHooks(self.reader, CONFIGURATIONS, self.context.equivalents)

    async def mutate(self, request: AdmissionRequest) -> None:
        if not self.reader.changed_at(CONFIGURATIONS) or is_exempt(request):
            return
        hooks = self._hooks.relevant(request)
        if not hooks:
            return
        from minikube_py.apiserver.admission.webhooks.calls import Calls  # noqa: PLC0415

        memory, calls = Reinvocation.of(self.name, request), Calls(self.context, request, ADMIT)
        for index, hook in hooks:
            match = await calls.match(hook)
            if match is not None and memory.is_due(hook.key):
                await self._call(hook, index, (calls, match), memory)
        memory.end()

    async def _call(self, hook: "Webhook", index: int, how: "tuple[Calls, Match]", memory: Reinvocation) -> None:
        from minikube_py.apiserver.admission.webhooks.calls import CallFailed, failed_closed  # noqa: PLC0415

        calls, match = how
        request, has_changed = calls.request, False
        place = f"round_{int(request.rounds.is_second)}_index_{index}"
        about: Object = {"configuration": hook.configuration, "webhook": hook.name}
        try:
            with calls.measured(hook):
                verdict = await calls.ask(hook, match, may_patch=True)
                if verdict.patch is not None:
                    has_changed = await self._patch(hook, calls, match, verdict.patch)
                    note = {**about, "patch": verdict.patch, "patchType": "JSONPatch"}
                    request.annotate(f"{PATCH_ANNOTATION}{place}", orjson.dumps(note).decode())
        except CallFailed as error:
            if hook.fails_closed:
                raise failed_closed(error) from None
            _LOG.warning("failing open: %s", error)
            request.annotate(f"failed-open.mutation.webhook.admission.k8s.io/{place}", hook.name)
        finally:
            note = {**about, "mutated": has_changed}
            request.annotate(f"mutation.webhook.admission.k8s.io/{place}", orjson.dumps(note).decode())
        memory.ran(hook.key, has_changed=has_changed, if_needed=hook.is_reinvoked)

    async def _patch(self, hook: "Webhook", calls: "Calls", match: Match, patch: list[object]) -> bool:
        """Applies a webhook's patch and defaults the result; whether it changes anything. Raises InternalError."""
        from minikube_py.apiserver.admission.webhooks.patching import changed_by  # noqa: PLC0415

        request, places = calls.request, self.context.equivalents
        kind = places.find_kind(match.kind) or request.kind
        current = (await calls.inputs.of(match))["object"]
        changed = changed_by(hook.name, current, kind, patch)
        if changed == current:
            return False
        if match.resource != request.info.gvr:
            changed = await places.convert(changed, kind, request.kind.gvk) or changed
        request.replace(changed)
        calls.inputs.forget()
        return True

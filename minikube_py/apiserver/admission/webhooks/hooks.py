"""Keeps the webhooks of admission configurations ready: read where they are stored, in the order they are called.

Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go, pkg/admission/configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from minikube_py.apiserver.admission.matching import Constraints
from minikube_py.apiserver.outbound import Target, target_of
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.expressions import Compiled, compile_condition


@dataclass(frozen=True)
class Webhook:
    """One webhook of a configuration. `key` is unique also where names repeat in other configurations."""

    raw: Object
    configuration: str
    key: str
    constraints: Constraints

    @property
    def name(self) -> str:
        name: str = self.raw.get("name") or ""
        return name

    @property
    def fails_closed(self) -> bool:
        return bool(self.raw.get("failurePolicy", "Fail") != "Ignore")

    @property
    def timeout(self) -> float:
        return float(self.raw.get("timeoutSeconds") or 10)

    @property
    def is_reinvoked(self) -> bool:
        return self.raw.get("reinvocationPolicy") == "IfNeeded"

    @property
    def may_dry_run(self) -> bool:
        return self.raw.get("sideEffects") in ("None", "NoneOnDryRun")

    @cached_property
    def conditions(self) -> tuple[tuple[str, Compiled], ...]:
        found = self.raw.get("matchConditions") or ()
        return tuple((c.get("name") or "", compile_condition(c.get("expression") or "")) for c in found)

    @cached_property
    def version(self) -> str:
        """The version of AdmissionReview to send: the first that is known here, '' when none is."""
        known = (v for v in self.raw.get("admissionReviewVersions") or () if v in ("v1", "v1beta1"))
        return next(known, "")

    @cached_property
    def target(self) -> Target:
        return target_of(self.raw.get("clientConfig") or {})


class WebhookHooks:
    """The webhooks of one plugin."""

    def __init__(self) -> None:
        self._seen: list[Object] = []
        self._hooks: Sequence[Webhook] = ()

    def of(self, configurations: list[Object]) -> Sequence[Webhook]:
        """The webhooks of the configurations as they are stored now: by configuration name, then as they stand."""
        seen = self._seen
        if len(seen) != len(configurations) or any(a is not b for a, b in zip(seen, configurations, strict=True)):
            self._hooks = tuple(hook for configuration in configurations for hook in _hooks(configuration))
            self._seen = configurations
        return self._hooks


def _hooks(configuration: Object) -> Sequence[Webhook]:
    name = configuration["metadata"]["name"]
    return [
        Webhook(raw, name, f"{name}/{raw.get('name')}/{index}", Constraints(raw, "rules"))
        for index, raw in enumerate(configuration.get("webhooks") or ())
    ]

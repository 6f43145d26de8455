"""Keeps the webhooks of admission configurations ready: read where they are stored, in the order they are called.

Source: apiserver pkg/admission/plugin/webhook/generic/webhook.go, pkg/admission/configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.matching import Constraints, Shape
from minikube_py.apiserver.admission.protocol import AdmissionRequest, ObjectReader
from minikube_py.apiserver.outbound import Target, target_of
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.expressions import Compiled, compile_condition
from minikube_py.resources.kind import GVR

_SHAPES_KEPT = 1024


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
    """The webhooks of one plugin: by configuration name, then as they stand in it. Which of them a kind of request
    concerns is remembered."""

    def __init__(self, reader: ObjectReader, configurations: GVR, places: Equivalents) -> None:
        self._reader = reader
        self._configurations = configurations
        self._places = places
        self._at = -1
        self._hooks: Sequence[Webhook] = ()
        self._relevant: dict[Shape, Sequence[tuple[int, Webhook]]] = {}

    def relevant(self, request: AdmissionRequest) -> Sequence[tuple[int, Webhook]]:
        """The webhooks whose rules can match a request, as they are stored now, each with its place among all."""
        at = self._reader.changed_at(self._configurations)
        if at != self._at:
            configurations = self._reader.list(self._configurations)
            self._hooks = tuple(hook for configuration in configurations for hook in _hooks(configuration))
            self._relevant.clear()
            self._at = at
        if not self._hooks:
            return ()
        shape = Shape.of(request, self._places)
        found = self._relevant.get(shape)
        if found is None:
            if len(self._relevant) >= _SHAPES_KEPT:
                self._relevant.clear()
            places = self._places
            found = tuple((i, h) for i, h in enumerate(self._hooks) if h.constraints.may_match(request, places))
            self._relevant[shape] = found
        return found


def _hooks(configuration: Object) -> Sequence[Webhook]:
    name = configuration["metadata"]["name"]
    return [
        Webhook(raw, name, f"{name}/{raw.get('name')}/{index}", Constraints(raw, "rules"))
        for index, raw in enumerate(configuration.get("webhooks") or ())
    ]

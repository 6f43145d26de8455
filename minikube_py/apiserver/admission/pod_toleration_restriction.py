"""Gives pods their namespace's tolerations and holds them to those that it allows.

Source: the admission controllers reference page (PodTolerationRestriction), plugin/pkg/admission/
podtolerationrestriction, pkg/util/tolerations.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from minikube_py.apiserver.admission.context import NAMESPACES, AdmissionContext, Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import NotFound, Object
from minikube_py.resources.core.pod_qos import qos_class

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY_PRESSURE: Object = {
    "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule",
}  # fmt: skip


class PodTolerationRestriction(Plugin):
    """Its configuration has `default` and `whitelist`, for namespaces that say nothing."""

    name = "PodTolerationRestriction"
    resources = frozenset((("", "pods"),))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises ValueError for a configuration that can't be used."""
        super().__init__(context)
        configuration = context.configuration.get(self.name) or {}
        unknown = configuration.keys() - {"apiVersion", "kind", "default", "whitelist"}
        if unknown:
            raise ValueError(f"the configuration of PodTolerationRestriction has the unknown field {min(unknown)}")
        self._default = _tolerations(configuration.get("default", []))
        self._allowed = _tolerations(configuration.get("whitelist", []))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE") or not is_about(request, "", "pods"):
            return
        spec, more = spec_of(request.obj), list[Object]()
        if request.operation == "CREATE":
            own = self._said(request, DEFAULTS)
            more += self._default if own is None else own
        if qos_class(spec) != "BestEffort":
            more.append(_MEMORY_PRESSURE)
        if more:
            request.obj["spec"]["tolerations"] = merge([*(spec.get("tolerations") or []), *more])

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE") or not is_about(request, "", "pods"):
            return
        tolerations = spec_of(request.obj).get("tolerations") or []
        own = self._said(request, ALLOWED) if tolerations else None
        allowed, scope = (self._allowed, "cluster") if own is None else (own, "namespace")
        if allowed and not all(any(covers(wide, toleration) for wide in allowed) for toleration in tolerations):
            merged = "pod tolerations (possibly merged with namespace default tolerations)"
            raise refuse(request, f"{merged} conflict with its {scope} whitelist")

    def _said(self, request: AdmissionRequest, annotation: str) -> list[Object] | None:
        """What the namespace's annotation says; None when it isn't there."""
        namespace = self.reader.get(NAMESPACES, request.namespace)
        if namespace is None:
            raise NotFound.of("", "namespaces", request.namespace)
        text = (namespace["metadata"].get("annotations") or {}).get(annotation)
        if text is None:
            return None
        try:
            return _tolerations(orjson.loads(text) if text else [])
        except ValueError as error:
            raise refuse(request, f"the annotation {annotation} of its namespace: {error}") from None


def _tolerations(value: Any) -> list[Object]:
    """Raises ValueError for what is no list of tolerations."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("tolerations must be a list of objects")
    return value


def merge(tolerations: Sequence[Object]) -> list[Object]:
    """Without those that another one covers; of equal ones the first stays."""
    kept: list[Object] = []
    for index, one in enumerate(tolerations):
        if any(covers(other, one) for other in kept):
            continue
        if not any(other != one and covers(other, one) for other in tolerations[index + 1 :]):
            kept.append(one)
    return kept


def covers(wide: Object, narrow: Object) -> bool:
    """Whether everything that `narrow` tolerates is tolerated by `wide`."""
    if wide == narrow:
        return True
    operator, key = wide.get("operator") or "Equal", wide.get("key") or ""
    if key != (narrow.get("key") or "") and not (key == "" and operator == "Exists"):
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    limit = wide.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and limit is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > limit:
            return False
    if operator == "Exists":
        return True
    is_equal = operator == (narrow.get("operator") or "Equal") == "Equal"
    return is_equal and (narrow.get("value") or "") == (wide.get("value") or "")

"""Gives pods the number that their PriorityClass stands for.

Source: the "Pod Priority and Preemption" page; texts as in plugin/pkg/admission/priority.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")


class Priority(Plugin):
    name = "Priority"
    resources = frozenset(
        (
            ("", "pods"),
            ("scheduling.k8s.io", "priorityclasses"),
        )
    )

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or not is_about(request, "", "pods"):
            return
        spec = request.obj.setdefault("spec", {})
        if request.operation == "UPDATE":
            for key in ("priority", "preemptionPolicy"):
                stored = ((request.old or {}).get("spec") or {}).get(key)
                if spec.get(key) is None and stored is not None:
                    spec[key] = stored
        elif request.operation == "CREATE":
            self._resolve(request, spec)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or not is_about(request, "scheduling.k8s.io", "priorityclasses"):
            return
        if not request.obj.get("globalDefault") or request.operation not in ("CREATE", "UPDATE"):
            return
        default = self._default()
        if default is None:
            return
        name = default["metadata"]["name"]
        if request.operation == "CREATE" or name != request.obj["metadata"].get("name"):
            raise refuse(request, f"PriorityClass {name} is already marked as default. Only one default can exist")

    def _default(self) -> Object | None:
        defaults = [c for c in self.reader.list(PRIORITY_CLASSES) if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c.get("value", 0)), default=None)

    def _resolve(self, request: AdmissionRequest, spec: Object) -> None:
        name = spec.get("priorityClassName") or ""
        if name:
            found = self.reader.get(PRIORITY_CLASSES, name)
            if found is None:
                raise refuse(request, f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = int((found or {}).get("value", 0))
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") is not None and spec["priority"] != value:
            raise refuse(
                request,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority "
                f"admission controller computed {value} from the given PriorityClass name",
            )
        if spec.get("preemptionPolicy") and spec["preemptionPolicy"] != policy:
            raise refuse(
                request,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

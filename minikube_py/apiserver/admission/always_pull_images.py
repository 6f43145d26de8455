"""Makes every pod pull its images anew, so that nobody runs a private image that somebody else has pulled.

Source: the admission controllers reference page (AlwaysPullImages); texts as in plugin/pkg/admission/alwayspullimages.
"""

from collections.abc import Iterator

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object

_LISTS = ("initContainers", "containers", "ephemeralContainers")
_ALWAYS = "Always"


class AlwaysPullImages(Plugin):
    name = "AlwaysPullImages"
    resources = frozenset((("", "pods"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if _is_concerned(request):
            for _, holder, key in _places(request.obj):
                holder[key] = _ALWAYS

    async def validate(self, request: AdmissionRequest) -> None:
        if _is_concerned(request):
            for path, holder, key in _places(request.obj):
                if holder.get(key) != _ALWAYS:
                    wrong = f'{path}: Unsupported value: "{holder.get(key) or ""}": supported values: "{_ALWAYS}"'
                    raise refuse(request, wrong)


def _places(pod: Object | None) -> Iterator[tuple[str, Object, str]]:
    """(path, what holds the policy, its key) of everything that is pulled."""
    spec = spec_of(pod)
    for name in _LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"spec.{name}[{index}].imagePullPolicy", container, "imagePullPolicy"
    for index, volume in enumerate(spec.get("volumes") or ()):
        if isinstance(volume.get("image"), dict):
            yield f"spec.volumes[{index}].image.pullPolicy", volume["image"], "pullPolicy"


def _is_concerned(request: AdmissionRequest) -> bool:
    """Pods with new images: whoever changes something else of a pod changes nothing of what is pulled."""
    if request.obj is None or request.operation not in ("CREATE", "UPDATE"):
        return False
    if not is_about(request, "", "pods", "", "ephemeralcontainers"):
        return False
    return request.old is None or not _images(request.obj) <= _images(request.old)


def _images(pod: Object) -> set[str]:
    spec = spec_of(pod)
    found = {container.get("image", "") for name in _LISTS for container in spec.get(name) or ()}
    return found | {
        v["image"].get("reference", "") for v in spec.get("volumes") or () if isinstance(v.get("image"), dict)
    }

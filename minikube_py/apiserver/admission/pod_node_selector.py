"""Lets a namespace's annotation say on which nodes its pods may run.

Source: the admission controllers reference page (PodNodeSelector); texts as in plugin/pkg/admission/podnodeselector.
"""

from collections.abc import Mapping

from minikube_py.apiserver.admission.context import NAMESPACES, AdmissionContext, Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import BadRequest, NotFound

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT = "clusterDefaultNodeSelector"
_CONFIGURATION = "podNodeSelectorPluginConfig"


class PodNodeSelector(Plugin):
    """Its configuration is `podNodeSelectorPluginConfig`: the default selector, and what a namespace's pods may say."""

    name = "PodNodeSelector"
    resources = frozenset((("", "pods"),))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises ValueError for a configuration that can't be used."""
        super().__init__(context)
        configuration = context.configuration.get(self.name) or {}
        selectors = configuration.get(_CONFIGURATION) or {}
        if not isinstance(selectors, dict) or configuration.keys() - {_CONFIGURATION}:
            raise ValueError(f"the configuration of PodNodeSelector must be of the form {_CONFIGURATION}: {{...}}")
        try:
            self._selectors = {name: read_labels(text) for name, text in selectors.items()}
        except BadRequest as error:
            raise ValueError(f"the configuration of PodNodeSelector: {error.message}") from None

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        wanted = self._wanted(request)
        selector = spec_of(request.obj).get("nodeSelector") or {}
        self._check(request, selector, wanted)
        if wanted:
            request.obj["spec"]["nodeSelector"] = {**wanted, **selector}

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        selector = spec_of(request.obj).get("nodeSelector") or {}
        self._check(request, selector, self._wanted(request))
        allowed = self._selectors.get(request.namespace)
        if allowed and not selector.items() <= allowed.items():
            raise refuse(request, "pod node label selector labels conflict with its namespace whitelist")

    def _check(self, request: AdmissionRequest, selector: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        if any(selector.get(key, value) != value for key, value in wanted.items()):
            raise refuse(request, "pod node label selector conflicts with its namespace node label selector")

    def _wanted(self, request: AdmissionRequest) -> Mapping[str, str]:
        """What the namespace says, or where it says nothing, the cluster's default."""
        namespace = self.reader.get(NAMESPACES, request.namespace)
        if namespace is None:
            raise NotFound.of("", "namespaces", request.namespace)
        text = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION)
        return self._selectors.get(DEFAULT, {}) if text is None else read_labels(text)


def read_labels(text: str) -> dict[str, str]:
    """`a=b,c=d` as labels. Raises BadRequest."""
    found = {}
    for part in filter(None, (piece.strip() for piece in str(text).split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or "=" in value:
            raise BadRequest(f"invalid selector: [{part}]")
        found[key.strip()] = value.strip()
    return found

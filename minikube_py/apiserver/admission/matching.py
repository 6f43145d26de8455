"""Decides whether a request is one that a webhook or policy asked for: rules and selectors.

Source: apiserver pkg/admission/plugin/webhook/predicates/{rules,namespace,object} and plugin/policy/matching.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from minikube_py.apiserver.admission.context import NAMESPACES
from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.protocol import AdmissionRequest, ObjectReader
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.kind import GVK, GVR

GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset((
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
    "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
))  # fmt: skip


def is_exempt(request: AdmissionRequest) -> bool:
    """The objects that configure admission are subject to none of it, so that a mistake can be undone."""
    return request.info.group == GROUP and request.info.resource in _EXEMPT


class Shape(NamedTuple):
    """What rules look at in a request, but for the object's name. `served` counts the changes of what is served."""

    group: str
    version: str
    resource: str
    subresource: str
    operation: str
    is_namespaced: bool
    served: int

    @classmethod
    def of(cls, request: AdmissionRequest, places: Equivalents) -> "Shape":
        info = request.info
        return cls(
            info.group, info.version, info.resource, info.subresource, request.operation, bool(info.namespace),
            places.served,
        )  # fmt: skip


class Match(NamedTuple):
    """The resource and kind that a rule named: the request's own, or an equivalent one to convert to."""

    resource: GVR
    kind: GVK


@dataclass(frozen=True)
class Rule:
    """A RuleWithOperations, and the names of a NamedRuleWithOperations."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[str, ...]
    scope: str
    names: frozenset[str]

    @classmethod
    def of(cls, rule: Object) -> "Rule":
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple(rule.get("resources") or ()),
            rule.get("scope") or "*",
            frozenset(rule.get("resourceNames") or ()),
        )

    def matches(self, request: AdmissionRequest, resource: GVR, *, any_name: bool = False) -> bool:
        operations, info = self.operations, request.info
        if "*" not in operations and request.operation not in operations:
            return False
        if self.names and not any_name and _name(request) not in self.names:
            return False
        if "*" not in self.groups and resource.group not in self.groups:
            return False
        if "*" not in self.versions and resource.version not in self.versions:
            return False
        is_namespaced = bool(info.namespace) and (info.group, info.resource) != ("", "namespaces")
        if self.scope != "*" and (self.scope == "Namespaced") != is_namespaced:
            return False
        return any(_is_resource(wanted, resource.resource, info.subresource) for wanted in self.resources)


def _name(request: AdmissionRequest) -> str:
    return request.info.name or ((request.obj or {}).get("metadata") or {}).get("name") or ""


def _is_resource(wanted: str, resource: str, subresource: str) -> bool:
    main, slash, sub = wanted.partition("/")
    if main not in ("*", resource):
        return False
    return sub in ("*", subresource) if slash else not subresource


class Constraints:
    """What a webhook or a policy's matchConstraints want, ready to be asked."""

    def __init__(self, raw: Mapping[str, Any], rules: str = "resourceRules", excluded: str = "") -> None:
        self.rules = [Rule.of(rule) for rule in raw.get(rules) or ()]
        self.excluded = [Rule.of(rule) for rule in (raw.get(excluded) or () if excluded else ())]
        self.namespace_selector = LabelSelector.from_dict(raw.get("namespaceSelector") or {})
        self.object_selector = LabelSelector.from_dict(raw.get("objectSelector") or {})
        self.is_equivalent = raw.get("matchPolicy", "Equivalent") == "Equivalent"
        self._has_rules = raw.get(rules) is not None

    def may_match(self, request: AdmissionRequest, places: Equivalents) -> bool:
        """Whether requests like this one, for objects of any name, can match: the same for all of one Shape."""
        if not self.rules:
            return not self._has_rules
        resources = [request.info.gvr]
        if self.is_equivalent:
            resources += [kind.gvr for kind in places.of(request.kind)]
        return any(rule.matches(request, gvr, any_name=True) for rule in self.rules for gvr in resources)

    def find(self, request: AdmissionRequest, places: Equivalents) -> Match | None:
        """Raises NotFound when the namespace that a selector is about does not exist."""
        if any(rule.matches(request, request.info.gvr) for rule in self.excluded):
            return None
        found = self._find_rule(request, places)
        if found is None:
            return None
        if not self._matches_namespace(request, places.reader) or not self._matches_object(request):
            return None
        return found

    def _find_rule(self, request: AdmissionRequest, places: Equivalents) -> Match | None:
        own = Match(request.info.gvr, kind_of(request))
        if not self.rules:
            # A binding without rules limits nothing; a policy or webhook without rules is for nothing.
            return None if self._has_rules else own
        if any(rule.matches(request, request.info.gvr) for rule in self.rules):
            return own
        if not self.is_equivalent:
            return None
        for kind in places.of(request.kind):
            if any(rule.matches(request, kind.gvr) for rule in self.excluded):
                return None
        for kind in places.of(request.kind):
            if any(rule.matches(request, kind.gvr) for rule in self.rules):
                # The body of a subresource that is a kind of its own, such as a Scale, stays as it is.
                has_own_body = own.kind.kind != request.kind.kind
                return Match(kind.gvr, own.kind if has_own_body else kind.gvk)
        return None

    def _matches_namespace(self, request: AdmissionRequest, reader: ObjectReader) -> bool:
        selector, info = self.namespace_selector, request.info
        if selector.is_empty:
            return True
        if (info.group, info.resource) == ("", "namespaces"):
            if request.operation in ("CREATE", "UPDATE") and not info.subresource and request.obj is not None:
                return selector.matches(_labels(request.obj))
            namespace = reader.get(NAMESPACES, info.name) if info.name else None
            return True if namespace is None else selector.matches(_labels(namespace))
        if not info.namespace:
            return True
        namespace = reader.get(NAMESPACES, info.namespace)
        if namespace is None:
            raise NotFound.of("", "namespaces", info.namespace)
        return selector.matches(_labels(namespace))

    def _matches_object(self, request: AdmissionRequest) -> bool:
        selector = self.object_selector
        if selector.is_empty:
            return True
        seen = (obj for obj in (request.obj, request.old) if obj is not None and "metadata" in obj)
        return any(selector.matches(_labels(obj)) for obj in seen)


def _labels(obj: Object) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def kind_of(request: AdmissionRequest) -> GVK:
    """The kind of the request's own object: that of a subresource's body, where it has another."""
    obj = request.obj or request.old or {}
    name, version = obj.get("kind"), obj.get("apiVersion")
    if not name or not version:
        return request.kind.gvk
    group, _, short = version.rpartition("/")
    return GVK(group, short, name)

"""Holds pods to their namespace's Pod Security level: refuses (enforce), warns (warn), annotates (audit).

Source: the "Pod Security Admission" page, KEP-2579; texts as in k8s.io/pod-security-admission.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_py.apiserver.admission.context import (
    NAMESPACES,
    PODS,
    AdmissionContext,
    Plugin,
    is_about,
    refuse,
    spec_of,
)
from minikube_py.apiserver.admission.pod_security_settings import LEVELS, VERSION, read_settings
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Cause, Invalid, Object
from minikube_py.resources.pod_security import LATEST_MINOR, Violation, violations

PREFIX = "pod-security.kubernetes.io/"
_MAX_PODS_CHECKED = 3000
_QUIET_POD_SUBRESOURCES = ("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status")
# Where a workload kind keeps its pod template.
_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "replicationcontrollers"): ("spec", "template"),
    ("", "podtemplates"): ("template",),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True)
class Level:
    """A level at a version; minor None is `latest`."""

    name: str = "privileged"
    minor: int | None = None

    def __str__(self) -> str:
        return f"{self.name}:{'latest' if self.minor is None else f'v1.{self.minor}'}"

    def violations(self, pod: Object) -> list[Violation]:
        return violations(pod, self.name, LATEST_MINOR if self.minor is None else self.minor)


_DEFAULTS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Policy:
    enforce: Level
    audit: Level
    warn: Level
    problems: tuple[Cause, ...] = ()


def policy_of(labels: Mapping[str, str], defaults: Mapping[str, str] = _DEFAULTS) -> Policy:
    """A namespace's policy. A label that can't be read counts as restricted for enforce, as nothing for the others.

    defaults (`enforce`, `enforce-version` and so on) are for namespaces without the label.
    """
    problems: list[Cause] = []

    def invalid(label: str, why: str) -> None:
        path = f"metadata.labels[{PREFIX}{label}]"
        problems.append(Cause("FieldValueInvalid", f'Invalid value: "{labels[PREFIX + label]}": {why}', path))

    def read(mode: str, fallback: str) -> Level:
        name, minor = labels.get(PREFIX + mode, defaults.get(mode, "privileged")), None
        if name not in LEVELS:
            invalid(mode, f"must be one of {', '.join(LEVELS)}")
            name = fallback
        version = labels.get(f"{PREFIX}{mode}-version", defaults.get(f"{mode}-version", "latest"))
        match = VERSION.fullmatch(version)
        if match:
            minor = int(match[1])
        elif version != "latest":
            invalid(f"{mode}-version", 'must be "latest" or "v1.x"')
        return Level(name, minor)

    enforce, audit, warn = read("enforce", "restricted"), read("audit", "privileged"), read("warn", "privileged")
    is_enforced = labels.get(PREFIX + "enforce") in LEVELS
    if PREFIX + "warn" not in labels and is_enforced and LEVELS.index(enforce.name) > LEVELS.index(warn.name):
        has_version = f"{PREFIX}warn-version" in labels
        warn = Level(enforce.name, warn.minor if has_version else enforce.minor)
    return Policy(enforce, audit, warn, tuple(problems))


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset((("", "namespaces"), ("", "pods"), *_TEMPLATES))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises ValueError for a PodSecurityConfiguration that can't be used."""
        super().__init__(context)
        self._settings = read_settings(context.configuration.get(self.name) or {})

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE"):
            return
        info = request.info
        if is_about(request, "", "namespaces"):
            self._check_namespace(request, request.obj)
        elif (info.group, info.resource) == ("", "pods"):
            if info.subresource not in _QUIET_POD_SUBRESOURCES:
                self._check_pod(request, request.obj)
        elif (info.group, info.resource) in _TEMPLATES and not info.subresource:
            self._warn_of_template(request, request.obj)

    def _policy(self, namespace: str) -> Policy:
        found = self.reader.get(NAMESPACES, namespace)
        return policy_of(((found or {}).get("metadata") or {}).get("labels") or {}, self._settings.defaults)

    def _exemption(self, request: AdmissionRequest, pod: Object) -> str:
        """Why nobody looks at this pod: its namespace, its user or its runtime class; '' when somebody does."""
        settings = self._settings
        if request.namespace in settings.namespaces:
            return "namespace"
        if request.user.name in settings.usernames:
            return "user"
        return "runtimeClass" if spec_of(pod).get("runtimeClassName") in settings.runtime_classes else ""

    def _check_pod(self, request: AdmissionRequest, pod: Object) -> None:
        exemption = self._exemption(request, pod)
        if exemption:
            request.annotate(PREFIX + "exempt", exemption)
            return
        policy = self._policy(request.namespace)
        if request.old is not None and not _is_significant(pod, request.old):
            return
        request.annotate(PREFIX + "enforce-policy", str(policy.enforce))
        self._audit(request, policy, pod)
        found = policy.enforce.violations(pod)
        if found:
            raise refuse(request, f'violates PodSecurity "{policy.enforce}": {_text(found)}')
        self._warn(request, policy, pod)

    def _warn_of_template(self, request: AdmissionRequest, obj: Object) -> None:
        template = obj
        for key in _TEMPLATES[request.info.group, request.info.resource]:
            template = template.get(key) or {}
        if template and not self._exemption(request, template):
            policy = self._policy(request.namespace)
            self._audit(request, policy, template)
            self._warn(request, policy, template)

    def _audit(self, request: AdmissionRequest, policy: Policy, pod: Object) -> None:
        if policy.problems:
            faults = ", ".join(f"{cause.field}: {cause.message}" for cause in policy.problems)
            request.annotate(PREFIX + "error", f"Failed to parse policy: {faults}")
        found = policy.audit.violations(pod)
        if found:
            request.annotate(PREFIX + "audit-violations", f'would violate PodSecurity "{policy.audit}": {_text(found)}')

    def _warn(self, request: AdmissionRequest, policy: Policy, pod: Object) -> None:
        found = policy.warn.violations(pod)
        if found:
            request.warnings.append(f'would violate PodSecurity "{policy.warn}": {_text(found)}')

    def _check_namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        defaults = self._settings.defaults
        policy = policy_of(namespace["metadata"].get("labels") or {}, defaults)
        before = policy_of(((request.old or {}).get("metadata") or {}).get("labels") or {}, defaults)
        if policy.problems and (request.old is None or policy.problems != before.problems):
            raise Invalid.of("", "Namespace", namespace["metadata"].get("name", ""), policy.problems)
        if request.old is None or policy.enforce == before.enforce:
            return
        name = namespace["metadata"].get("name", "")
        if name in self._settings.namespaces:
            why = f"is exempt from Pod Security, and the policy ({_policy_text(policy)}) will be ignored"
            request.warnings.append(f'namespace "{name}" {why}')
            return
        was, now = LEVELS.index(before.enforce.name), LEVELS.index(policy.enforce.name)
        if now > 0 and (policy.enforce.minor != before.enforce.minor or now > was):
            request.warnings += self._existing_violations(namespace["metadata"]["name"], policy.enforce)

    def _existing_violations(self, namespace: str, level: Level) -> list[str]:
        """Warnings about pods that run already: one line for all pods with the same faults."""
        pods = self.reader.list(PODS, namespace)
        names: dict[str, list[str]] = {}
        for pod in pods[:_MAX_PODS_CHECKED]:
            found = level.violations(pod)
            if found:
                names.setdefault(", ".join(v.reason for v in found), []).append(pod["metadata"]["name"])
        if not names:
            return []
        lines = []
        for faults, found_names in names.items():
            others = len(found_names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            lines.append(f"{min(found_names)}{more}: {faults}")
        text = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}"'
        return [text, *sorted(lines)]


def _policy_text(policy: Policy) -> str:
    return f"enforce={policy.enforce}, audit={policy.audit}, warn={policy.warn}"


def _text(found: list[Violation]) -> str:
    return ", ".join(str(violation) for violation in found)


def _is_significant(new: Object, old: Object) -> bool:
    """Whether an update changes anything the checks look at: only images and ephemeral containers can."""
    for key in ("containers", "initContainers"):
        fresh, stored = spec_of(new).get(key) or [], spec_of(old).get(key) or []
        if [c.get("image") for c in fresh] != [c.get("image") for c in stored]:
            return True
    before = {c.get("name"): c.get("image") for c in spec_of(old).get("ephemeralContainers") or []}
    return any(
        c.get("name") not in before or before[c.get("name")] != c.get("image")
        for c in spec_of(new).get("ephemeralContainers") or []
    )

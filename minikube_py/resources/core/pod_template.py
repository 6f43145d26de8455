"""Checks pod specs and the pod templates inside workloads; their defaults are in pod_defaults.py.

Source: kubernetes pkg/apis/core/validation (ValidatePodSpec, ValidatePodTemplateSpec).
"""

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.affinity_rules import (
    validate_affinity,
    validate_tolerations,
    validate_topology_spread,
)
from minikube_py.resources.core.container_rules import (
    PodContext,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from minikube_py.resources.core.pod_defaults import aggregate_requests, default_pod_spec, default_pod_template
from minikube_py.resources.core.resource_rules import validate_pod_resources, validate_resource_requirements
from minikube_py.resources.core.security_rules import (
    validate_host_namespaces,
    validate_os,
    validate_pod_security_context,
)
from minikube_py.resources.core.volume_rules import validate_volumes
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import (
    MAX_INT32,
    validate_annotations,
    validate_canonical_ip,
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_label_name,
    validate_labels,
)

__all__ = [
    "default_pod_spec", "default_pod_template", "validate_pod_spec", "validate_pod_template",
    "validate_template_labels",
]  # fmt: skip

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARS = 3, 32, 2048


def validate_pod_template(template: Object, path: Path, errors: FieldErrors) -> None:
    """A PodTemplateSpec."""
    metadata = template.get("metadata") or {}
    validate_labels(metadata.get("labels"), path.child("labels"), errors)
    validate_annotations(metadata.get("annotations"), path.child("annotations"), errors)
    spec = template.get("spec") or {}
    validate_pod_spec(spec, path.child("spec"), errors)
    if spec.get("ephemeralContainers"):
        at = path.child("spec", "ephemeralContainers")
        errors.forbidden(at, "ephemeral containers not allowed in pod template")


def validate_template_labels(template: Object, selects: bool, path: Path, errors: FieldErrors) -> None:
    """The labels of a workload's template have to be selected by the workload."""
    if not selects:
        labels = (template.get("metadata") or {}).get("labels") or {}
        errors.invalid(path.child("metadata", "labels"), labels, "`selector` does not match template `labels`")


def validate_pod_spec(
    spec: Object, path: Path, errors: FieldErrors, *, pod_name: str = "", is_pod: bool = False
) -> None:
    """A pod spec. The name is that of a real pod, for the claims its ephemeral volumes make."""
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        errors.required(path.child("terminationGracePeriodSeconds"))
    volumes = validate_volumes(spec.get("volumes") or [], pod_name, path.child("volumes"), errors)
    claim_names = _validate_resource_claims(spec.get("resourceClaims") or (), path.child("resourceClaims"), errors)
    pod = PodContext(
        volumes=volumes,
        claim_names=claim_names,
        grace=grace,
        restart_policy=spec.get("restartPolicy", ""),
        host_users=spec.get("hostUsers") is not False,
    )
    validate_containers(spec.get("containers") or [], pod, path.child("containers"), errors)
    if spec.get("initContainers"):
        validate_init_containers(spec, pod, path.child("initContainers"), errors)
    if spec.get("ephemeralContainers"):
        validate_ephemeral_containers(spec, pod, path.child("ephemeralContainers"), errors)
    if spec.get("resources") is not None:
        validate_pod_resources(spec, aggregate_requests(spec), path.child("resources"), errors)
    _validate_host_network_ports(spec, path, errors, is_pod=is_pod)
    _validate_choices(spec, path, errors)
    validate_labels(spec.get("nodeSelector"), path.child("nodeSelector"), errors)
    validate_pod_security_context(spec, path.child("securityContext"), errors)
    _validate_lists(spec, path, errors)
    validate_affinity(spec.get("affinity"), path.child("affinity"), errors)
    _validate_dns(spec, path.child("dnsConfig"), errors)
    validate_host_namespaces(spec, path, errors)
    _validate_names(spec, path, errors)
    validate_os(spec, path, errors)
    if spec.get("overhead"):
        validate_resource_requirements({"limits": spec["overhead"]}, None, path.child("overhead"), errors)


def _validate_choices(spec: Object, path: Path, errors: FieldErrors) -> None:
    errors.enum(path.child("restartPolicy"), spec.get("restartPolicy"), RESTART_POLICIES)
    errors.enum(path.child("dnsPolicy"), spec.get("dnsPolicy"), DNS_POLICIES)
    errors.optional_enum(
        path.child("preemptionPolicy"), spec.get("preemptionPolicy"), ("PreemptLowerPriority", "Never")
    )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        errors.invalid(path.child("activeDeadlineSeconds"), deadline, meta.range_message(1, MAX_INT32))


def _validate_names(spec: Object, path: Path, errors: FieldErrors) -> None:
    for key in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(key):
            validate_dns1123_subdomain(spec[key], path.child(key), errors)
    for key in ("hostname", "subdomain"):
        if spec.get(key):
            validate_dns1123_label(spec[key], path.child(key), errors)
    override = spec.get("hostnameOverride")
    if override is not None:
        at = path.child("hostnameOverride")
        validate_dns1123_subdomain(override, at, errors)
        if len(override) > 64:
            errors.invalid(at, override, "must be no more than 64 characters")
        if spec.get("hostNetwork"):
            errors.forbidden(at, "cannot be set when 'hostNetwork' is true")
        if spec.get("setHostnameAsFQDN"):
            errors.forbidden(path.child("setHostnameAsFQDN"), "cannot be set when 'hostnameOverride' is set")


def _validate_lists(spec: Object, path: Path, errors: FieldErrors) -> None:
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        at = path.child("readinessGates").index(index).child("conditionType")
        validate_label_name(gate.get("conditionType", ""), at, errors)
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        at = path.child("schedulingGates").index(index)
        name = gate.get("name", "")
        validate_label_name(name, at, errors)
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
    if spec.get("tolerations"):
        validate_tolerations(spec["tolerations"], path.child("tolerations"), errors)
    if spec.get("topologySpreadConstraints"):
        at = path.child("topologySpreadConstraints")
        validate_topology_spread(spec["topologySpreadConstraints"], at, errors)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = path.child("hostAliases").index(index)
        validate_canonical_ip(alias.get("ip", ""), at.child("ip"), errors)
        for i, name in enumerate(alias.get("hostnames") or ()):
            validate_dns1123_subdomain(name, at.child("hostnames").index(i), errors)


def _validate_dns(spec: Object, path: Path, errors: FieldErrors) -> None:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.required(path.child("nameservers"), why)
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        why = f"must not have more than {MAX_NAMESERVERS} nameservers"
        errors.invalid(path.child("nameservers"), servers, why)
    for index, server in enumerate(servers):
        validate_canonical_ip(server, path.child("nameservers").index(index), errors)
    if len(searches) > MAX_SEARCHES:
        errors.invalid(path.child("searches"), searches, f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > MAX_SEARCH_CHARS:
        why = f"must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        errors.invalid(path.child("searches"), searches, why)
    for index, search in enumerate(searches):
        name = search.removesuffix(".")
        if name:
            # Underscores are fine in search paths, unlike in names of objects.
            at = path.child("searches").index(index)
            errors.invalid_each(at, name, meta.dns1123_subdomain(name.replace("_", "a")))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.required(path.child("options").index(index), "must not be empty")


def _validate_host_network_ports(spec: Object, path: Path, errors: FieldErrors, *, is_pod: bool) -> None:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for i, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != (port.get("containerPort") or 0):
                at = path.child("containers").index(index).child("ports").index(i).child("hostPort")
                errors.invalid(at, host, "must match `containerPort` when `hostNetwork` is true")


def _validate_resource_claims(claims: list[Object] | tuple[()], path: Path, errors: FieldErrors) -> set[str]:
    names: set[str] = set()
    for index, claim in enumerate(claims):
        at = path.index(index)
        name = claim.get("name", "")
        if not name:
            errors.required(at.child("name"))
        elif name in names:
            errors.duplicate(at.child("name"), name)
        else:
            validate_dns1123_label(name, at.child("name"), errors)
            names.add(name)
        keys = [k for k in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(k) is not None]
        if len(keys) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.invalid(at, claim, why)
        if not keys:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.invalid(at, claim, why)
        for key in keys:
            validate_dns1123_subdomain(claim[key], at.child(key), errors)
    return names

"""Checks the containers of a pod spec: regular, init and ephemeral ones.

Source: kubernetes pkg/apis/core/validation (validateContainers and its neighbours).
"""

from dataclasses import dataclass, field

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.field_refs import ENV_FIELDS, validate_field_ref, validate_resource_field_ref
from minikube_py.resources.core.mount_rules import validate_devices, validate_mounts
from minikube_py.resources.core.probe_rules import validate_probes
from minikube_py.resources.core.resource_rules import validate_resource_requirements
from minikube_py.resources.core.security_rules import validate_security_context
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import (
    validate_dns1123_label,
    validate_local_non_reserved_path,
    validate_port,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
_EPHEMERAL_FORBIDDEN = (
    "ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy",
    "restartPolicy", "restartPolicyRules",
)  # fmt: skip
_MAX_RULES, _MAX_EXIT_CODES = 20, 255


@dataclass(frozen=True)
class PodContext:
    """What the checks of a container need to know of its pod."""

    volumes: dict[str, Object]
    claim_names: set[str] = field(default_factory=set)
    grace: int | None = 30
    restart_policy: str = "Always"
    host_users: bool = True


def validate_containers(containers: list[Object], pod: PodContext, path: Path, errors: FieldErrors) -> None:
    """The regular containers."""
    if not containers:
        errors.required(path)
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        at = path.index(index)
        _validate_common(container, pod, at, errors)
        name = container.get("name", "")
        if name in names:
            errors.duplicate(at.child("name"), name)
        names.add(name)
        validate_probes(container, pod.grace, at, errors)
        _validate_restart_policy(container, at, errors, ("Always", "Never", "OnFailure"))
    _validate_host_ports(containers, path, errors)


def validate_init_containers(spec: Object, pod: PodContext, path: Path, errors: FieldErrors) -> None:
    names = {c.get("name", "") for c in spec.get("containers") or ()}
    for index, container in enumerate(spec.get("initContainers") or ()):
        at = path.index(index)
        _validate_common(container, pod, at, errors)
        _validate_restart_policy(container, at, errors, ("Always", "Never", "OnFailure"))
        name = container.get("name", "")
        if name in names:
            errors.duplicate(at.child("name"), name)
        elif name:
            names.add(name)
        _validate_host_ports([container], path, errors)
        if container.get("restartPolicy") == "Always":
            validate_probes(container, pod.grace, at, errors)
            continue
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(key) is not None:
                errors.forbidden(at.child(key), _ONLY_SIDECARS)


def validate_ephemeral_containers(spec: Object, pod: PodContext, path: Path, errors: FieldErrors) -> None:
    others = {c.get("name", "") for key in ("containers", "initContainers") for c in spec.get(key) or ()}
    names = set(others)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at = path.index(index)
        _validate_common(container, pod, at, errors)
        validate_image_spacing(container, at, errors)
        name, target = container.get("name", ""), container.get("targetContainerName", "")
        if name in names:
            errors.duplicate(at.child("name"), name)
        names.add(name)
        if target and target not in others:
            errors.not_found(at.child("targetContainerName"), target)
        for key in _EPHEMERAL_FORBIDDEN:
            if container.get(key):
                errors.forbidden(at.child(key), "cannot be set for an Ephemeral Container")
        for i, mount in enumerate(container.get("volumeMounts") or ()):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    where = at.child("volumeMounts").index(i).child(key)
                    errors.forbidden(where, "cannot be set for an Ephemeral Container")


def validate_image_spacing(container: Object, path: Path, errors: FieldErrors) -> None:
    """A check of pods only: templates may hold an image with spaces around it."""
    image = container.get("image", "")
    if image != image.strip():
        errors.invalid(path.child("image"), image, "must not have leading or trailing whitespace")


def _validate_common(container: Object, pod: PodContext, path: Path, errors: FieldErrors) -> None:
    name = container.get("name", "")
    if not name:
        errors.required(path.child("name"))
    else:
        validate_dns1123_label(name, path.child("name"), errors)
    if not container.get("image"):
        errors.required(path.child("image"))
    policies = ("File", "FallbackToLogsOnError")
    errors.enum(path.child("terminationMessagePolicy"), container.get("terminationMessagePolicy"), policies)
    _validate_ports(container.get("ports") or (), path.child("ports"), errors)
    validate_env(container.get("env") or (), pod.volumes, path.child("env"), errors)
    _validate_env_from(container.get("envFrom") or (), path.child("envFrom"), errors)
    mounts, devices = container.get("volumeMounts") or (), container.get("volumeDevices") or ()
    validate_mounts(container, devices, pod.volumes, path.child("volumeMounts"), errors)
    validate_devices(devices, mounts, pod.volumes, path.child("volumeDevices"), errors)
    errors.enum(path.child("imagePullPolicy"), container.get("imagePullPolicy"), PULL_POLICIES)
    resources = container.get("resources")
    if resources:
        validate_resource_requirements(resources, pod.claim_names, path.child("resources"), errors)
    _validate_resize_policy(container, pod.restart_policy, path.child("resizePolicy"), errors)
    context = container.get("securityContext")
    if context is not None:
        validate_security_context(context, path.child("securityContext"), errors, host_users=pod.host_users)


def _validate_ports(ports: list[Object] | tuple[()], path: Path, errors: FieldErrors) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = path.index(index)
        name = port.get("name", "")
        if name:
            problems = meta.port_name(name)
            errors.invalid_each(at.child("name"), name, problems)
            if not problems and name in names:
                errors.duplicate(at.child("name"), name)
            names.add(name)
        if not port.get("containerPort"):
            errors.required(at.child("containerPort"))
        else:
            validate_port(port["containerPort"], at.child("containerPort"), errors)
        if port.get("hostPort"):
            validate_port(port["hostPort"], at.child("hostPort"), errors)
        errors.enum(at.child("protocol"), port.get("protocol"), PROTOCOLS)


def _validate_host_ports(containers: list[Object], path: Path, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for i, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in seen:
                errors.duplicate(path.index(index).child("ports").index(i).child("hostPort"), key)
            seen.add(key)


def validate_env(
    variables: list[Object] | tuple[()], volumes: dict[str, Object], path: Path, errors: FieldErrors
) -> None:
    for index, variable in enumerate(variables):
        at = path.index(index)
        name = variable.get("name", "")
        if not name:
            errors.required(at.child("name"))
        else:
            errors.invalid_each(at.child("name"), name, meta.relaxed_env_var_name(name))
        if variable.get("valueFrom") is not None:
            _validate_value_from(variable, volumes, at.child("valueFrom"), errors)


def _validate_value_from(variable: Object, volumes: dict[str, Object], path: Path, errors: FieldErrors) -> None:
    source = variable["valueFrom"]
    keys = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
    found = [key for key in keys if source.get(key) is not None]
    for key in found:
        at = path.child(key)
        if key == "fieldRef":
            validate_field_ref(source[key], ENV_FIELDS, at, errors)
        elif key == "resourceFieldRef":
            validate_resource_field_ref(source[key], at, errors, in_volume=False)
        elif key == "fileKeyRef":
            _validate_file_key(source[key], volumes, at, errors)
        else:
            _validate_key_selector(source[key], at, errors)
    if not found:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.invalid(path, "", why)
    elif variable.get("value"):
        errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(found) > 1:
        errors.invalid(path, "", "may not have more than one field specified at a time")


def _validate_key_selector(ref: Object, path: Path, errors: FieldErrors) -> None:
    name = ref.get("name", "")
    errors.invalid_each(path.child("name"), name, meta.dns1123_subdomain(name))
    if not ref.get("key"):
        errors.required(path.child("key"))
    else:
        errors.invalid_each(path.child("key"), ref["key"], meta.config_map_key(ref["key"]))


def _validate_file_key(ref: Object, volumes: dict[str, Object], path: Path, errors: FieldErrors) -> None:
    name = ref.get("volumeName", "")
    if not name:
        errors.required(path.child("volumeName"))
    elif name not in volumes:
        errors.not_found(path.child("volumeName"), name)
    elif volumes[name].get("emptyDir") is None:
        errors.invalid(path.child("volumeName"), name, "referenced volume must be of type emptyDir")
    if not ref.get("key"):
        errors.required(path.child("key"))
    else:
        errors.invalid_each(path.child("key"), ref["key"], meta.relaxed_env_var_name(ref["key"]))
    if not ref.get("path"):
        errors.required(path.child("path"))
    else:
        validate_local_non_reserved_path(ref["path"], path.child("path"), errors)


def _validate_env_from(sources: list[Object] | tuple[()], path: Path, errors: FieldErrors) -> None:
    for index, source in enumerate(sources):
        at = path.index(index)
        prefix = source.get("prefix", "")
        if prefix:
            errors.invalid_each(at.child("prefix"), prefix, meta.relaxed_env_var_name(prefix))
        found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in found:
            name = source[key].get("name", "")
            if not name:
                errors.required(at.child(key, "name"))
            else:
                errors.invalid_each(at.child(key, "name"), name, meta.dns1123_subdomain(name))
        if not found:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            errors.invalid(path, "", "may not have more than one field specified at a time")


def _validate_resize_policy(container: Object, restart_policy: str, path: Path, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(container.get("resizePolicy") or ()):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            errors.duplicate(path.index(index), name)
        seen.add(name)
        errors.enum(path, name, ("cpu", "memory"))
        errors.enum(path, restart, ("NotRequired", "RestartContainer"))
        if restart_policy == "Never" and restart != "NotRequired":
            errors.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _validate_restart_policy(container: Object, path: Path, errors: FieldErrors, supported: tuple[str, ...]) -> None:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    errors.optional_enum(path.child("restartPolicy"), policy, supported)
    if not rules:
        return
    at = path.child("restartPolicyRules")
    if policy is None:
        errors.required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used")
    if len(rules) > _MAX_RULES:
        errors.too_long(at, _MAX_RULES)
    for index, rule in enumerate(rules):
        where = at.index(index)
        errors.enum(where.child("action"), rule.get("action"), ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            errors.required(where.child("exitCodes"), "must be specified")
            continue
        errors.enum(where.child("exitCodes", "operator"), codes.get("operator"), ("In", "NotIn"))
        if len(codes.get("values") or ()) > _MAX_EXIT_CODES:
            errors.too_long(where.child("exitCodes", "values"), _MAX_EXIT_CODES)

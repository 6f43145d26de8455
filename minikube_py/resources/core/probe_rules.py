"""Checks probes and lifecycle hooks of containers."""

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_port, validate_port_number_or_name

_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def validate_probes(container: Object, grace: int | None, path: Path, errors: FieldErrors) -> None:
    """All three probes and the hooks of a container that may have them."""
    if container.get("lifecycle") is not None:
        validate_lifecycle(container["lifecycle"], grace, path.child("lifecycle"), errors)
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(key)
        if probe is None:
            continue
        at = path.child(key)
        _validate_probe(probe, grace, at, errors)
        if key == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                value = probe["terminationGracePeriodSeconds"]
                errors.invalid(at.child("terminationGracePeriodSeconds"), value, "must not be set for readinessProbes")
        elif probe.get("successThreshold", 0) != 1:
            errors.invalid(at.child("successThreshold"), probe.get("successThreshold", 0), "must be 1")


def _validate_probe(probe: Object, grace: int | None, path: Path, errors: FieldErrors) -> None:
    _validate_handler(probe, _PROBE_HANDLERS, grace, path, errors)
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors.not_negative(path.child(key), probe.get(key))
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        errors.invalid(path.child("terminationGracePeriodSeconds"), own_grace, "must be greater than 0")


def validate_lifecycle(lifecycle: Object, grace: int | None, path: Path, errors: FieldErrors) -> None:
    for key in ("postStart", "preStop"):
        if lifecycle.get(key) is not None:
            _validate_handler(lifecycle[key], _HOOK_HANDLERS, grace, path.child(key), errors)


def _validate_handler(
    handler: Object, kinds: tuple[str, ...], grace: int | None, path: Path, errors: FieldErrors
) -> None:
    found = False
    for key in kinds:
        action = handler.get(key)
        if action is None:
            continue
        if found:
            errors.forbidden(path.child(key), "may not specify more than 1 handler type")
            continue
        found = True
        _validate_action(key, action, grace, path.child(key), errors)
    if not found:
        errors.required(path, "must specify a handler type")


def _validate_action(key: str, action: Object, grace: int | None, path: Path, errors: FieldErrors) -> None:
    if key == "exec":
        if not action.get("command"):
            errors.required(path.child("command"))
    elif key == "httpGet":
        _validate_http_get(action, path, errors)
    elif key == "tcpSocket":
        validate_port_number_or_name(action.get("port"), path.child("port"), errors)
    elif key == "grpc":
        validate_port(action.get("port") or 0, path.child("port"), errors)
    else:
        seconds = action.get("seconds") or 0
        if grace is not None and not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.invalid(path, seconds, why)


def _validate_http_get(action: Object, path: Path, errors: FieldErrors) -> None:
    if not action.get("path"):
        errors.required(path.child("path"))
    validate_port_number_or_name(action.get("port"), path.child("port"), errors)
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        errors.not_supported(path.child("scheme"), action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        errors.invalid_each(path.child("httpHeaders"), name, meta.http_header_name(name))

"""Mutating and validating webhook configurations: defaults, checks, columns."""

import base64
from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.match_rules import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_rules,
    validate_match_conditions,
    validate_rule,
)
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, number
from minikube_py.resources.value_rules import (
    validate_fully_qualified_name,
    validate_label_selector,
    validate_port,
    validate_webhook_url,
)

WEBHOOKS = Path("webhooks")
REVIEW_VERSIONS = ("v1", "v1beta1")


def default_validating(configuration: Object) -> None:
    for hook in configuration.get("webhooks") or ():
        _default_hook(hook)


def default_mutating(configuration: Object) -> None:
    for hook in configuration.get("webhooks") or ():
        _default_hook(hook)
        hook.setdefault("reinvocationPolicy", "Never")


def _default_hook(hook: Object) -> None:
    hook.setdefault("failurePolicy", "Fail")
    hook.setdefault("matchPolicy", "Equivalent")
    hook.setdefault("namespaceSelector", {})
    hook.setdefault("objectSelector", {})
    hook.setdefault("timeoutSeconds", 10)
    default_client_config(hook.get("clientConfig"))
    default_rules(hook.get("rules"))


def default_client_config(config: Object | None) -> None:
    service = (config or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def validate_validating(configuration: Object, errors: FieldErrors) -> None:
    _validate(configuration, errors)


def validate_mutating(configuration: Object, errors: FieldErrors) -> None:
    _validate(configuration, errors)
    for index, hook in enumerate(configuration.get("webhooks") or ()):
        at = WEBHOOKS.index(index).child("reinvocationPolicy")
        errors.optional_enum(at, hook.get("reinvocationPolicy"), ("IfNeeded", "Never"))


def _validate(configuration: Object, errors: FieldErrors) -> None:
    names: set[str] = set()
    for index, hook in enumerate(configuration.get("webhooks") or ()):
        at = WEBHOOKS.index(index)
        name = hook.get("name", "")
        validate_fully_qualified_name(name, at.child("name"), errors)
        if name:
            if name in names:
                errors.duplicate(at.child("name"), name)
            names.add(name)
        _validate_versions(hook.get("admissionReviewVersions") or [], at.child("admissionReviewVersions"), errors)
        for i, rule in enumerate(hook.get("rules") or ()):
            validate_rule(rule, at.child("rules").index(i), errors)
        errors.optional_enum(at.child("failurePolicy"), hook.get("failurePolicy"), FAILURE_POLICIES)
        errors.optional_enum(at.child("matchPolicy"), hook.get("matchPolicy"), MATCH_POLICIES)
        effects = hook.get("sideEffects")
        if effects is None:
            errors.required(at.child("sideEffects"), "must specify one of None, NoneOnDryRun")
        else:
            errors.optional_enum(at.child("sideEffects"), effects, ("None", "NoneOnDryRun"))
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            errors.invalid(at.child("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds")
        for key in ("namespaceSelector", "objectSelector"):
            validate_label_selector(hook.get(key), at.child(key), errors)
        validate_client_config(hook.get("clientConfig") or {}, at.child("clientConfig"), errors)
        validate_match_conditions(hook.get("matchConditions") or [], at.child("matchConditions"), errors)


def _validate_versions(versions: list[str], path: Path, errors: FieldErrors) -> None:
    if not versions:
        errors.required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errors.invalid(path.index(index), version, "duplicate version")
            continue
        seen.add(version)
        for message in meta.dns1035_label(version):
            errors.invalid(path.index(index), version, message)
    if not seen & set(REVIEW_VERSIONS):
        errors.invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def validate_client_config(config: Object, path: Path, errors: FieldErrors) -> None:
    """Where a webhook is: a URL or a Service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        validate_webhook_url(url, path.child("url"), errors)
    elif service is not None:
        for key in ("name", "namespace"):
            if not service.get(key):
                errors.required(path.child("service", key), f"service {key} is required")
        port = service.get("port")
        if port is not None:
            validate_port(port, path.child("service", "port"), errors)
        if service.get("path"):
            _validate_service_path(service["path"], path.child("service", "path"), errors)
    bundle = config.get("caBundle")
    if bundle and not _is_pem(bundle):
        errors.invalid(
            path.child("caBundle"), bundle, "unable to load root certificates: unable to parse bytes as PEM block"
        )


def _is_pem(encoded: str) -> bool:
    try:
        return b"-----BEGIN " in base64.b64decode(encoded)
    except ValueError:
        return False


def _validate_service_path(path_text: str, path: Path, errors: FieldErrors) -> None:
    if not path_text.startswith("/"):
        errors.invalid(path, path_text, "must start with a '/'")
        return
    if path_text == "/":
        return
    parts = path_text.removeprefix("/").removesuffix("/").split("/")
    for index, part in enumerate(parts):
        if not part:
            errors.invalid(path, path_text, f"segment[{index}] may not be empty")
            continue
        for message in meta.dns1123_subdomain(part):
            errors.invalid(path, path_text, f"segment[{index}]: {message}")


def validate_validating_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_validating(new, errors)


def validate_mutating_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_mutating(new, errors)


def row(configuration: Object) -> list[Any]:
    return [meta.name(configuration), len(configuration.get("webhooks") or ()), age(configuration)]


COLUMNS = (NAME, number("Webhooks", "The number of webhooks."), AGE)
VALIDATING_RULES = KindRules(
    default=default_validating,
    validate=validate_validating,
    validate_update=validate_validating_update,
    columns=COLUMNS,
    row=row,
    has_generation=True,
    allows_unconditional_update=False,
)
MUTATING_RULES = KindRules(
    default=default_mutating,
    validate=validate_mutating,
    validate_update=validate_mutating_update,
    columns=COLUMNS,
    row=row,
    has_generation=True,
    allows_unconditional_update=False,
)

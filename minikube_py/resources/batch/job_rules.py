"""Checks the spec of a Job, also inside a CronJob.

Source: kubernetes pkg/apis/batch/validation.
"""

from minikube_py.objects.errors import Object
from minikube_py.resources.core.pod_template import validate_pod_template
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_domain_prefixed_path, validate_label_selector

MODES = ("Indexed", "NonIndexed")
MAX_INDEXED_PARALLELISM = 100_000
MAX_RULES, MAX_EXIT_CODES, MAX_PATTERNS = 20, 255, 20
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip


def validate_job_spec(spec: Object, path: Path, errors: FieldErrors) -> None:
    for key in _COUNTS:
        errors.not_negative(path.child(key), spec.get(key))
    _validate_per_index(spec, path, errors)
    mode = spec.get("completionMode")
    if mode is not None:
        errors.optional_enum(path.child("completionMode"), mode, MODES)
    if mode == "Indexed":
        if spec.get("completions") is None:
            errors.required(path.child("completions"), "when completion mode is Indexed")
        parallelism = spec.get("parallelism") or 0
        if parallelism > MAX_INDEXED_PARALLELISM:
            why = f"must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
            errors.invalid(path.child("parallelism"), parallelism, why)
    if spec.get("managedBy") is not None:
        validate_domain_prefixed_path(spec["managedBy"], path.child("managedBy"), errors)
        if len(spec["managedBy"]) > 63:
            errors.too_long(path.child("managedBy"), 63)
    if spec.get("podFailurePolicy") is not None:
        _validate_failure_policy(spec, path.child("podFailurePolicy"), errors)
    if spec.get("successPolicy") is not None:
        _validate_success_policy(spec, path, errors)
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        supported = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        errors.optional_enum(path.child("podReplacementPolicy"), replacement, supported)
    template, at = spec.get("template") or {}, path.child("template")
    validate_pod_template(template, at, errors)
    _validate_restart_policy(spec, template.get("spec") or {}, at.child("spec", "restartPolicy"), errors)
    validate_label_selector(spec.get("selector"), path.child("selector"), errors)


def _validate_restart_policy(spec: Object, pod: Object, path: Path, errors: FieldErrors) -> None:
    policy = pod.get("restartPolicy", "")
    if policy in ("", "Always"):
        errors.required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.not_supported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _validate_per_index(spec: Object, path: Path, errors: FieldErrors) -> None:
    limit, most = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if limit is not None and spec.get("completionMode") != "Indexed":
        errors.invalid(path.child("backoffLimitPerIndex"), limit, "requires indexed completion mode")
    if most is None:
        return
    if limit is None:
        errors.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified")
    completions = spec.get("completions")
    if completions is not None and most > completions:
        errors.invalid(path.child("maxFailedIndexes"), most, "must be less than or equal to completions")
    if most > MAX_INDEXED_PARALLELISM:
        why = f"must be less than or equal to {MAX_INDEXED_PARALLELISM}"
        errors.invalid(path.child("maxFailedIndexes"), most, why)


def _validate_failure_policy(spec: Object, path: Path, errors: FieldErrors) -> None:
    rules, at = spec["podFailurePolicy"].get("rules") or [], path.child("rules")
    if len(rules) > MAX_RULES:
        errors.too_many(at, len(rules), MAX_RULES)
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {c.get("name") for key in ("containers", "initContainers") for c in pod.get(key) or ()}
    for index, rule in enumerate(rules):
        where = at.index(index)
        action = rule.get("action", "")
        if not action:
            errors.required(where.child("action"), 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]')
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.invalid(where.child("action"), action, "requires the backoffLimitPerIndex to be set")
        else:
            errors.optional_enum(where.child("action"), action, ("Count", "FailIndex", "FailJob", "Ignore"))
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            _validate_exit_codes(codes, names, where.child("onExitCodes"), errors)
        _validate_patterns(patterns, where.child("onPodConditions"), errors)
        if codes is not None and patterns:
            errors.invalid(where, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not patterns:
            errors.invalid(where, rule, "specifying one of OnExitCodes and OnPodConditions is required")


def _validate_exit_codes(codes: Object, names: set[str | None], path: Path, errors: FieldErrors) -> None:
    operator, values, at = codes.get("operator", ""), codes.get("values") or [], path.child("values")
    if not operator:
        errors.required(path.child("operator"), 'valid values: ["In" "NotIn"]')
    else:
        errors.optional_enum(path.child("operator"), operator, ("In", "NotIn"))
    container = codes.get("containerName")
    if container is not None and container not in names:
        errors.invalid(
            path.child("containerName"),
            container,
            "must be one of the container or initContainer names in the pod template",
        )
    if not values:
        errors.invalid(at, values, "at least one value is required")
    elif len(values) > MAX_EXIT_CODES:
        errors.too_many(at, len(values), MAX_EXIT_CODES)
    if values != sorted(values):
        errors.invalid(at, values, "must be ordered")
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.invalid(at.index(index), value, "must not be 0 for the In operator")
        if value in values[:index]:
            errors.duplicate(at.index(index), value)


def _validate_patterns(patterns: list[Object], path: Path, errors: FieldErrors) -> None:
    if len(patterns) > MAX_PATTERNS:
        errors.too_many(path, len(patterns), MAX_PATTERNS)
    for index, pattern in enumerate(patterns):
        at, status = path.index(index), pattern.get("status", "")
        if not status:
            errors.required(at.child("status"), 'valid values: ["False" "True" "Unknown"]')
        else:
            errors.optional_enum(at.child("status"), status, ("False", "True", "Unknown"))


def _validate_success_policy(spec: Object, path: Path, errors: FieldErrors) -> None:
    rules, at = spec["successPolicy"].get("rules") or [], path.child("successPolicy", "rules")
    if spec.get("completionMode") != "Indexed":
        why = "requires indexed completion mode"
        errors.invalid(path.child("completionMode"), spec.get("completionMode"), why)
    if not rules:
        errors.required(at, "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > MAX_RULES:
        errors.too_many(at, len(rules), MAX_RULES)
    for index, rule in enumerate(rules):
        count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and indexes is None:
            why = "at least one of succeededCount or succeededIndexes must be specified"
            errors.required(at.index(index), why)
        completions = spec.get("completions")
        if count is not None:
            errors.not_negative(at.index(index).child("succeededCount"), count)
            if completions is not None and count > completions:
                why = f"must be less than or equal to {completions} (the number of specified completions)"
                errors.invalid(at.index(index).child("succeededCount"), count, why)

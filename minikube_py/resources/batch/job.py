"""Jobs: defaults, the generated selector, checks, what may change, columns and field selectors."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector, format_label_selector
from minikube_py.resources import object_warnings
from minikube_py.resources.batch.job_rules import validate_job_spec
from minikube_py.resources.core.pod_template import default_pod_template, validate_template_labels
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    SELECTOR,
    age,
    between,
    container_cells,
    template_spec,
    text,
)

SPEC, STATUS = Path("spec"), Path("status")
UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_UID_LABEL, OLD_NAME_LABEL = "controller-uid", "job-name"
NO_LIMIT = 2**31 - 1
_STATES = (
    ("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating"), ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)  # fmt: skip


def default(job: Object) -> None:
    spec = job.setdefault("spec", {})
    default_job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    metadata = job.setdefault("metadata", {})
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def default_job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else NO_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    if spec.get("podFailurePolicy") is not None:
        for rule in spec["podFailurePolicy"].get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                pattern["status"] = pattern.get("status") or "True"
    policy = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
    spec.setdefault("podReplacementPolicy", policy)
    default_pod_template(spec.setdefault("template", {}))


def prepare_create(job: Object) -> None:
    """The selector and the labels it needs come from the job's own UID unless the client chose them."""
    job["status"] = {}
    spec = job["spec"]
    if spec.get("manualSelector"):
        return
    template = spec.setdefault("template", {})
    metadata = template["metadata"] = dict(template.get("metadata") or {})
    labels = metadata["labels"] = dict(metadata.get("labels") or {})
    uid, name = meta.uid(job), meta.name(job)
    for key, value in ((UID_LABEL, uid), (OLD_UID_LABEL, uid), (NAME_LABEL, name), (OLD_NAME_LABEL, name)):
        labels.setdefault(key, value)
    selector = spec["selector"] = dict(spec.get("selector") or {})
    selector["matchLabels"] = dict(selector.get("matchLabels") or {})
    selector["matchLabels"].setdefault(UID_LABEL, uid)
    if not job["metadata"].get("labels"):
        # Kubernetes defaults them each time it reads the job, so that nobody ever sees it without.
        job["metadata"]["labels"] = dict(labels)


def validate(job: Object, errors: FieldErrors) -> None:
    spec = job.get("spec") or {}
    before = len(errors.causes)
    _validate_generated_selector(job, spec, errors)
    validate_job_spec(spec, SPEC, errors)
    selector = spec.get("selector")
    if selector is None:
        errors.required(SPEC.child("selector"))
    elif len(errors.causes) == before:
        template = spec.get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        selects = LabelSelector.from_dict(selector).matches(labels)
        validate_template_labels(template, selects, SPEC.child("template"), errors)
    if spec.get("completionMode") == "Indexed" and spec.get("completions"):
        pod_name = f"{meta.name(job)}-{spec['completions'] - 1}"
        for message in meta.dns1123_label(pod_name):
            why = f"will not able to create pod with invalid DNS label: {message}"
            errors.invalid(Path("metadata.name"), meta.name(job), why)


def _validate_generated_selector(job: Object, spec: Object, errors: FieldErrors) -> None:
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    uid, name = meta.uid(job), meta.name(job)
    at = SPEC.child("template", "metadata").child("labels")
    for key, value in ((UID_LABEL, uid), (NAME_LABEL, name), (OLD_UID_LABEL, uid), (OLD_NAME_LABEL, name)):
        if labels.get(key) != value:
            errors.invalid(at.key(key), labels, f"must be '{value}'")
    chosen = (spec["selector"].get("matchLabels") or {}).get(UID_LABEL)
    old = (spec["selector"].get("matchLabels") or {}).get(OLD_UID_LABEL)
    if uid not in (chosen, old):
        errors.invalid(SPEC.child("selector"), spec["selector"], "`selector` not auto-generated")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    validate_job_spec(fresh, SPEC, errors)
    _validate_completions(fresh, stored, errors)
    errors.immutable(SPEC.child("selector"), fresh.get("selector"), stored.get("selector"))
    _validate_template(fresh, stored, old, errors)
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        errors.immutable(SPEC.child(key), fresh.get(key), stored.get(key))


def _validate_completions(fresh: Object, stored: Object, errors: FieldErrors) -> None:
    new, old = fresh.get("completions"), stored.get("completions")
    if new == old:
        return
    is_elastic = fresh.get("completionMode") == "Indexed" and new is not None and old is not None
    if not is_elastic:
        errors.immutable(SPEC.child("completions"), new, old)
    elif new != fresh.get("parallelism"):
        why = "can only be modified in tandem with spec.parallelism"
        errors.invalid(SPEC.child("completions"), new, f"{why} such that spec.completions == spec.parallelism")


def _validate_template(fresh: Object, stored: Object, old: Object, errors: FieldErrors) -> None:
    new, before = fresh.get("template") or {}, stored.get("template") or {}
    if is_same(new, before):
        return
    is_held = bool(stored.get("suspend")) and not (old.get("status") or {}).get("startTime")
    if is_held:
        before = {**before, "metadata": {**(before.get("metadata") or {})}, "spec": {**(before.get("spec") or {})}}
        for key in ("labels", "annotations"):
            before["metadata"][key] = (new.get("metadata") or {}).get(key)
        for key in ("nodeSelector", "affinity", "tolerations", "schedulingGates"):
            before["spec"][key] = (new.get("spec") or {}).get(key)
        _copy_resources(before["spec"], new.get("spec") or {})
    errors.immutable(SPEC.child("template"), new, before)


def _copy_resources(target: Object, source: Object) -> None:
    """The resources of a suspended job's containers may still be changed."""
    for key in ("containers", "initContainers"):
        old, new = target.get(key) or [], source.get(key) or []
        if len(old) == len(new):
            target[key] = [{**a, "resources": b.get("resources")} for a, b in zip(old, new, strict=True)]


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    for key in ("active", "succeeded", "failed", "ready", "terminating"):
        errors.not_negative(STATUS.child(key), status.get(key))
    conditions = status.get("conditions")
    done, failed = is_true(conditions, "Complete"), is_true(conditions, "Failed")
    if done and failed:
        errors.invalid(STATUS.child("conditions"), "", "cannot set Complete=True and Failed=true conditions")
    if status.get("completionTime") and not done:
        at = STATUS.child("completionTime")
        errors.invalid(
            at, status["completionTime"], "completionTime cannot be set as the job is not finished as complete"
        )


def job_state(job: Object) -> str:
    conditions = (job.get("status") or {}).get("conditions")
    for type_, shown in _STATES:
        if is_true(conditions, type_) if type_ else meta.is_deleting(job):
            return shown
    return "Running"


def _completions(spec: Object, status: Object) -> str:
    succeeded = status.get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def row(job: Object) -> list[Any]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    start = status.get("startTime")
    return [
        meta.name(job),
        job_state(job),
        _completions(spec, status),
        between(start, status.get("completionTime")) if start else "",
        age(job),
        *container_cells(template_spec(job)),
        format_label_selector(spec.get("selector")),
    ]


def fields(job: Object) -> dict[str, str]:
    return {"status.successful": str((job.get("status") or {}).get("succeeded") or 0)}


RULES = KindRules(
    warnings=object_warnings.of_job,
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Status", "Status of the job."),
        text("Completions", "How many pods have succeeded of those that have to."),
        text("Duration", "Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    row=row,
    fields=fields,
    has_generation=True,
)

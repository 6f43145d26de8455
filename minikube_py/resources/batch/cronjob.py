"""CronJobs: defaults, checks, columns."""

from typing import Any
from zoneinfo import available_timezones

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources import object_warnings
from minikube_py.resources.batch.cron import schedule_problem
from minikube_py.resources.batch.job_rules import validate_job_spec
from minikube_py.resources.core.pod_template import default_pod_template
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    age,
    container_cells,
    flag,
    number,
    since,
    template_spec,
    text,
)
from minikube_py.resources.value_rules import validate_annotations, validate_labels

SPEC = Path("spec")
MAX_NAME = 52
POLICIES = ("Allow", "Forbid", "Replace")


def default(cron_job: Object) -> None:
    spec = cron_job.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    default_pod_template(job.setdefault("template", {}))


def prepare_create(cron_job: Object) -> None:
    cron_job["status"] = {}


def validate(cron_job: Object, errors: FieldErrors) -> None:
    _validate_spec(cron_job.get("spec") or {}, errors)
    name = meta.name(cron_job)
    if len(name) > MAX_NAME:
        errors.invalid(Path("metadata.name"), name, f"must be no more than {MAX_NAME} characters")


def _validate_spec(spec: Object, errors: FieldErrors, old_schedule: str = "") -> None:
    schedule = spec.get("schedule", "")
    if not schedule:
        errors.required(SPEC.child("schedule"))
    elif schedule != old_schedule:
        _validate_schedule(schedule, spec.get("timeZone"), errors)
    zone = spec.get("timeZone")
    if zone is not None:
        _validate_zone(zone, SPEC.child("timeZone"), errors)
    errors.not_negative(SPEC.child("startingDeadlineSeconds"), spec.get("startingDeadlineSeconds"))
    errors.enum(SPEC.child("concurrencyPolicy"), spec.get("concurrencyPolicy"), POLICIES)
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors.not_negative(SPEC.child(key), spec.get(key))
    template, at = spec.get("jobTemplate") or {}, SPEC.child("jobTemplate")
    metadata = template.get("metadata") or {}
    validate_labels(metadata.get("labels"), at.child("metadata", "labels"), errors)
    validate_annotations(metadata.get("annotations"), at.child("metadata", "annotations"), errors)
    job = template.get("spec") or {}
    if job.get("selector") is not None and not job.get("manualSelector"):
        errors.invalid(at.child("spec", "selector"), job["selector"], "`selector` will be auto-generated")
    validate_job_spec(job, at.child("spec"), errors)


def _validate_schedule(schedule: str, zone: str | None, errors: FieldErrors) -> None:
    at = SPEC.child("schedule")
    if "TZ" in schedule:
        problem = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        if zone is not None:
            problem = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.invalid(at, schedule, problem)
        return
    problem = schedule_problem(schedule)
    if problem:
        errors.invalid(at, schedule, problem)


def _validate_zone(zone: str, path: Path, errors: FieldErrors) -> None:
    if not zone:
        errors.invalid(path, zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        errors.invalid(
            path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
    elif zone not in available_timezones():
        errors.invalid(path, zone, f"unknown time zone {zone}")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    _validate_spec(new.get("spec") or {}, errors, (old.get("spec") or {}).get("schedule", ""))


def row(cron_job: Object) -> list[Any]:
    spec, status = cron_job.get("spec") or {}, cron_job.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        meta.name(cron_job),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        flag(spec.get("suspend")).capitalize() if spec.get("suspend") is not None else flag(None),
        len(status.get("active") or ()),
        since(last) if last else NONE,
        age(cron_job),
        *container_cells(template_spec({"spec": job})),
        format_label_selector(job.get("selector")),
    ]


RULES = KindRules(
    warnings=object_warnings.of_cron_job,
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Schedule", "The schedule in Cron format."),
        text("Timezone", "The time zone name for the given schedule."),
        text("Suspend", "Whether subsequent executions are held back."),
        number("Active", "The number of currently running jobs."),
        text("Last Schedule", "When the job was last successfully scheduled."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    row=row,
    has_generation=True,
)

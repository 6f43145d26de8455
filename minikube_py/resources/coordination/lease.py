"""Leases and LeaseCandidates: checks and columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text

SPEC = Path("spec")


def validate(lease: Object, errors: FieldErrors) -> None:
    spec = lease.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        errors.invalid(SPEC.child("leaseDurationSeconds"), duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        errors.invalid(SPEC.child("leaseTransitions"), transitions, "must be greater than or equal to 0")
    if spec.get("preferredHolder") and not spec.get("strategy"):
        errors.forbidden(SPEC.child("preferredHolder"), "may only be specified when `strategy` is defined")


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def row(lease: Object) -> list[Any]:
    return [meta.name(lease), (lease.get("spec") or {}).get("holderIdentity") or "", age(lease)]


def validate_candidate(candidate: Object, errors: FieldErrors) -> None:
    spec = candidate.get("spec") or {}
    for key in ("leaseName", "binaryVersion", "strategy"):
        if not spec.get(key):
            errors.required(SPEC.child(key))


def validate_candidate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_candidate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("leaseName"), fresh.get("leaseName"), stored.get("leaseName"))


def candidate_row(candidate: Object) -> list[Any]:
    spec = candidate.get("spec") or {}
    keys = ("leaseName", "binaryVersion", "emulationVersion")
    return [meta.name(candidate), *(spec.get(key) or "" for key in keys), age(candidate)]


RULES = KindRules(
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Holder", "The identity of the holder of the lease."), AGE),
    row=row,
    allows_create_on_update=True,
    allows_unconditional_update=False,
)
CANDIDATE_RULES = KindRules(
    validate=validate_candidate,
    validate_update=validate_candidate_update,
    columns=(
        NAME,
        text("LeaseName", "The lease that is competed for."),
        text("BinaryVersion", "The version of the candidate."),
        text("EmulationVersion", "The version the candidate emulates."),
        AGE,
    ),
    row=candidate_row,
)

"""PriorityClasses: defaults, checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, flag, number, text

MAX_USER_PRIORITY = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
POLICIES = ("PreemptLowerPriority", "Never")


def default(priority_class: Object) -> None:
    if not priority_class.get("preemptionPolicy"):
        priority_class["preemptionPolicy"] = "PreemptLowerPriority"


def validate(priority_class: Object, errors: FieldErrors) -> None:
    name, value = meta.name(priority_class), priority_class.get("value") or 0
    if name.startswith(SYSTEM_PREFIX):
        if SYSTEM_CLASSES.get(name) != value:
            why = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
            known = f"value of {name} PriorityClass must be {SYSTEM_CLASSES.get(name)}"
            unknown = f"{name} is not a known system priority class"
            errors.forbidden(Path("metadata.name"), why + (known if name in SYSTEM_CLASSES else unknown))
    elif value > MAX_USER_PRIORITY:
        why = f"maximum allowed value of a user defined priority is {MAX_USER_PRIORITY}"
        errors.forbidden(Path("value"), why)
    errors.enum(Path("preemptionPolicy"), priority_class.get("preemptionPolicy"), POLICIES)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.forbidden(Path("value"), "may not be changed in an update.")
    errors.immutable(Path("preemptionPolicy"), new.get("preemptionPolicy"), old.get("preemptionPolicy"))


def row(priority_class: Object) -> list[Any]:
    return [
        meta.name(priority_class),
        priority_class.get("value") or 0,
        flag(bool(priority_class.get("globalDefault"))),
        age(priority_class),
        priority_class.get("preemptionPolicy", ""),
    ]


RULES = KindRules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        number("Value", "The integer value of this priority class."),
        text("Global-Default", "Whether this class is the default for pods without one."),
        AGE,
        text("PreemptionPolicy", "Whether pods of this class preempt others."),
    ),
    row=row,
    has_generation=True,
)

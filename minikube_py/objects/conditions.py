"""Reads and sets entries of a `status.conditions` list.

Source: apimachinery pkg/api/meta/conditions.go; lastTransitionTime moves only when the status does.
"""

from collections.abc import Iterable

from minikube_py import clock
from minikube_py.objects.errors import Object

# Left out of a new condition, these are cleared; anything else (lastProbeTime, lastUpdateTime) is kept.
_CLEARED = ("reason", "message", "observedGeneration")


def observed(obj: Object) -> Object:
    """The part of a condition that says which generation of the object it is about; empty for objects without one."""
    generation = obj["metadata"].get("generation")
    return {"observedGeneration": generation} if generation else {}


def get_condition(conditions: Iterable[Object] | None, type_: str) -> Object | None:
    """The condition of that type, or None."""
    for condition in conditions or ():
        if condition.get("type") == type_:
            return condition
    return None


def is_true(conditions: Iterable[Object] | None, type_: str) -> bool:
    condition = get_condition(conditions, type_)
    return condition is not None and condition.get("status") == "True"


def set_condition(conditions: list[Object], new: Object) -> bool:
    """Put `new` into the list in place, at the position of the old one of its type; True when something changed.

    `lastTransitionTime` is the old one while the status stays, else the one in `new`, else now.
    """
    old = get_condition(conditions, new["type"])
    if old is None:
        conditions.append({"lastTransitionTime": clock.rfc3339(), **new})
        return True
    if _says_the_same(old, new):
        return False
    kept = {field: value for field, value in old.items() if field not in _CLEARED}
    merged: Object = {**kept, **new}
    if old.get("status") == new.get("status"):
        if "lastTransitionTime" in old:
            merged["lastTransitionTime"] = old["lastTransitionTime"]
    elif not new.get("lastTransitionTime"):
        merged["lastTransitionTime"] = clock.rfc3339()
    if merged == old:
        return False
    conditions[next(i for i, c in enumerate(conditions) if c is old)] = merged
    return True


def _says_the_same(old: Object, new: Object) -> bool:
    """Whether `new` changes nothing but the time, which stays then. What is empty may be left out: some kinds do so."""
    if "lastTransitionTime" not in old or any(old.get(field) and field not in new for field in _CLEARED):
        return False
    return all(field == "lastTransitionTime" or (old.get(field) or None) == (new[field] or None) for field in new)


def remove_condition(conditions: list[Object], type_: str) -> bool:
    """Take the condition of that type out of the list in place; True when there was one."""
    kept = [c for c in conditions if c.get("type") != type_]
    if len(kept) == len(conditions):
        return False
    conditions[:] = kept
    return True

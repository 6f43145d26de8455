"""Writes a pod template as Kubernetes' clients do before they compare it, byte by byte, with a ControllerRevision.

`kubectl rollout undo` and Kubernetes' own tests encode the workload that they read with Go: keys in order, and without
what Go takes for unset.
"""

from typing import Any

_EMPTY_MAPS = frozenset(("labels", "annotations", "nodeSelector", "limits", "requests", "matchLabels"))
"""Other empty objects are kept: `emptyDir: {}` says something, and Go writes `resources: {}` also where none is set."""
_FALSE = frozenset(("hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly"))
_ZERO = frozenset(("hostPort", "initialDelaySeconds"))
_EMPTY_TEXT = frozenset((
    "value", "hostIP", "hostname", "subdomain", "nodeName", "serviceAccountName", "serviceAccount", "priorityClassName",
    "namespace", "subPath", "subPathExpr", "workingDir", "fsType", "medium", "prefix", "host", "effect", "operator",
))  # fmt: skip
"""Fields without a pointer in Go, whose zero value is left out."""


def stored_template(value: Any) -> Any:
    """A copy of the template (or a part of it) in the form that Go's encoder gives it."""
    if isinstance(value, dict):
        return {key: stored_template(value[key]) for key in sorted(value) if not is_unset(key, value[key])}
    if isinstance(value, list):
        return [stored_template(item) for item in value]
    return value


def is_unset(key: str, value: Any) -> bool:
    """Whether Go leaves the field out."""
    if value is None or value == []:
        return True
    if value == {}:
        return key in _EMPTY_MAPS
    if value is False:
        return key in _FALSE
    if value == 0:
        return key in _ZERO
    return value == "" and key in _EMPTY_TEXT

"""Matches a failed pod with the rules of a Job's podFailurePolicy; pure (KEP-3329, KEP-3850)."""

from typing import NamedTuple

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name, namespace

FAIL_JOB, FAIL_INDEX, IGNORE, COUNT = "FailJob", "FailIndex", "Ignore", "Count"


class Match(NamedTuple):
    """What the first matching rule says; action Count without a message when none matches."""

    action: str
    message: str = ""


def match_policy(job: Object, pod: Object) -> Match:
    policy = job["spec"].get("podFailurePolicy") or {}
    for number, rule in enumerate(policy.get("rules") or ()):
        found = _by_exit_code(rule, pod) if rule.get("onExitCodes") else _by_condition(rule, pod)
        if found:
            return Match(rule["action"], f"{found} matching {rule['action']} rule at index {number}")
    return Match(COUNT)


def _by_exit_code(rule: Object, pod: Object) -> str:
    wanted = rule["onExitCodes"]
    status = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        ended = (container.get("state") or {}).get("terminated")
        if not ended or wanted.get("containerName") not in (None, container["name"]):
            continue
        code = ended.get("exitCode", 0)
        is_listed = code in wanted["values"]
        if code and is_listed == (wanted["operator"] == "In"):
            return f"Container {container['name']} for pod {namespace(pod)}/{name(pod)} failed with exit code {code}"
    return ""


def _by_condition(rule: Object, pod: Object) -> str:
    for pattern in rule.get("onPodConditions") or ():
        for condition in (pod.get("status") or {}).get("conditions") or ():
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return f"Pod {namespace(pod)}/{name(pod)} has condition {pattern['type']}"
    return ""

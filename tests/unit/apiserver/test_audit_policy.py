"""Which rule of an audit policy decides, and what is said about policies that can't be used."""

from pathlib import Path
from typing import Any

import pytest

from minikube_py.apiserver.audit.policy import Level, PolicyError, load_policy, parse_policy
from minikube_py.apiserver.request_info import RequestInfo, UserInfo, parse_request

ALICE = UserInfo("alice", groups=("devs", "system:authenticated"))
PODS = "/api/v1/namespaces/web/pods"


def policy(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}


def resources(group: str = "", *names: str, **more: Any) -> dict[str, Any]:
    return {"level": "Metadata", "resources": [{"group": group, "resources": list(names), **more}]}


def about(method: str, path: str) -> RequestInfo:
    plain, _, query = path.partition("?")
    return parse_request(plain, method, dict([query.split("=")]) if query else {})


@pytest.mark.parametrize(
    ("rule", "method", "path", "matches"),
    [
        ({}, "GET", PODS, True),
        ({}, "GET", "/version", True),
        ({"users": ["alice"]}, "GET", PODS, True),
        ({"users": ["bob"]}, "GET", PODS, False),
        ({"userGroups": ["ops", "devs"]}, "GET", PODS, True),
        ({"userGroups": ["ops"]}, "GET", PODS, False),
        ({"verbs": ["list"]}, "GET", PODS, True),
        ({"verbs": ["watch"]}, "GET", f"{PODS}?watch=1", True),
        ({"verbs": ["get"]}, "GET", PODS, False),
        ({"verbs": ["get"]}, "GET", "/version", True),
        ({"namespaces": ["web"]}, "GET", PODS, True),
        ({"namespaces": ["other"]}, "GET", PODS, False),
        ({"namespaces": [""]}, "GET", "/api/v1/nodes", True),
        ({"namespaces": [""]}, "GET", "/version", False),
        (resources("", "pods"), "GET", PODS, True),
        (resources("", "pods"), "GET", f"{PODS}/a/log", False),
        (resources("", "pods/log"), "GET", f"{PODS}/a/log", True),
        (resources("", "pods/*"), "GET", f"{PODS}/a/log", True),
        (resources("", "pods/*"), "GET", PODS, True),
        (resources("", "*/log"), "GET", f"{PODS}/a/log", True),
        (resources("", "*/log"), "GET", PODS, False),
        (resources("", "*"), "GET", f"{PODS}/a/log", True),
        (resources(""), "GET", f"{PODS}/a/log", True),
        (resources("apps"), "GET", PODS, False),
        (resources("apps", "*"), "GET", "/apis/apps/v1/deployments", True),
        (resources("", "pods", resourceNames=["a"]), "GET", f"{PODS}/a", True),
        (resources("", "pods", resourceNames=["a"]), "GET", f"{PODS}/b", False),
        (resources("", "pods", resourceNames=["a"]), "POST", PODS, False),
        (resources("", "pods"), "GET", "/version", False),
        ({"nonResourceURLs": ["/version"]}, "GET", "/version", True),
        ({"nonResourceURLs": ["/healthz*"]}, "GET", "/healthz/ping", True),
        ({"nonResourceURLs": ["*"]}, "GET", "/metrics", True),
        ({"nonResourceURLs": ["*"]}, "GET", PODS, False),
        ({"nonResourceURLs": ["/version"]}, "GET", "/versions", False),
    ],
)
def test_rules_match_as_in_kubernetes(rule: dict[str, Any], method: str, path: str, matches: bool) -> None:
    judged = parse_policy(policy({"level": "Metadata", **rule})).judge(ALICE, about(method, path))
    assert (judged.level is Level.METADATA) is matches


def test_the_first_rule_decides_and_omissions_add_up() -> None:
    parsed = parse_policy(
        policy(
            {"level": "None", "users": ["alice"], "verbs": ["list"]},
            {"level": "Request", "users": ["alice"], "omitStages": ["Panic"], "omitManagedFields": False},
            {"level": "RequestResponse"},
            omitStages=["RequestReceived"],
            omitManagedFields=True,
        )
    )
    assert parsed.judge(ALICE, about("GET", PODS)).level is Level.NONE
    own = parsed.judge(ALICE, about("POST", PODS))
    assert (own.level, own.omit_stages, own.omit_managed_fields) == (
        Level.REQUEST,
        {"RequestReceived", "Panic"},
        False,
    )
    other = parsed.judge(UserInfo("bob"), about("GET", PODS))
    assert (other.level, other.omit_stages, other.omit_managed_fields) == (
        Level.REQUEST_RESPONSE,
        {"RequestReceived"},
        True,
    )


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ([], "it is not an object"),
        ({"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1"}, "not audit.k8s.io/v1beta1, Policy"),
        (policy(), "rules: Required value"),
        (policy({}), "rules[0].level: Required value"),
        (policy({"level": "All"}), 'rules[0].level: Unsupported value: "All": supported values: "Metadata", "None"'),
        (policy({"level": "None"}, {"level": "None", "user": ["a"]}), 'unknown field "rules[1].user"'),
        (policy({"level": "None", "users": "a"}), "rules[0].users: must be a list of strings"),
        (policy({"level": "None", "omitStages": ["Done"]}), 'rules[0].omitStages[0]: Invalid value: "Done"'),
        (policy({"level": "None"}, omitStages=["Done"]), 'omitStages[0]: Invalid value: "Done"'),
        (policy({"level": "None", "nonResourceURLs": ["x"]}), "must begin with a '/' character"),
        (policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "must be the final character"),
        (policy({"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]}), "cannot apply to both"),
        (
            policy({"level": "None", "resources": [{"group": "apps/v1"}]}),
            'resources[0].group: Invalid value: "apps/v1"',
        ),
        (policy({"level": "None", "resources": [{"resourceNames": ["a"]}]}), "requires at least one resource"),
        (policy({"level": "None", "omitManagedFields": "yes"}), "must be true or false"),
    ],
)
def test_bad_policies_are_refused(tree: Any, why: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(tree)
    assert why in str(refused.value)


def test_files_are_yaml_and_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    assert load_policy(path).judge(ALICE, about("GET", PODS)).level is Level.METADATA
    for text, why in (
        ("rules: [", "is not YAML"),
        ("kind: Policy\nkind: Policy\n", "duplicate field"),
        ("kind: Policy\n", "can't be used: it must be of kind Policy and apiVersion audit.k8s.io/v1"),
    ):
        path.write_text(text)
        with pytest.raises(PolicyError) as refused:
            load_policy(path)
        assert str(path) in str(refused.value)
        assert why in str(refused.value)
    with pytest.raises(PolicyError, match="No such file"):
        load_policy(tmp_path / "missing")

"""Reading metadata, copying objects, and the syntax of names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects import meta

POD = {
    "metadata": {
        "name": "a",
        "namespace": "b",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"x": "y"},
        "ownerReferences": [{"uid": "1"}, {"uid": "2", "controller": True}],
    }
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_reads_metadata() -> None:
    assert (meta.name(POD), meta.namespace(POD), meta.uid(POD), meta.resource_version(POD)) == ("a", "b", "u", "7")
    assert meta.key(POD) == ("b", "a")
    assert meta.labels(POD) == {"x": "y"}
    assert meta.annotations(POD) == {}
    assert meta.controller_of(POD) == {"uid": "2", "controller": True}
    assert not meta.is_deleting(POD)
    assert meta.is_deleting({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"labels": None}}])
def test_reads_nothing_from_nothing(obj: dict) -> None:
    assert meta.key(obj) == ("", "")
    assert meta.labels(obj) == {}
    assert meta.controller_of(obj) is None


def test_owner_reference() -> None:
    assert meta.owner_reference(POD, ("apps", "v1", "ReplicaSet"), block=False) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "a",
        "uid": "u",
        "controller": True,
    }
    assert meta.owner_reference(POD, ("", "v1", "Pod"), controller=False)["apiVersion"] == "v1"


@given(JSON)
def test_a_copy_is_equal_and_shares_nothing(value: object) -> None:
    copied = meta.deep_copy(value)
    assert copied == value
    assert not (_containers(copied) & _containers(value))


def _containers(value: object) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*map(_containers, value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*map(_containers, value))
    return set()


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "value", "messages"),
    [
        (meta.dns1123_label, "my-name", []),
        (meta.dns1123_label, "a" * 63, []),
        (meta.dns1123_label, "a" * 64, ["must be no more than 63 characters"]),
        (meta.dns1123_label, "a.b", ["must not contain dots"]),
        (meta.dns1123_label, "-a", [LABEL]),
        (meta.dns1123_label, "a\n", [LABEL]),
        (meta.dns1123_label, "", [LABEL]),
        (meta.dns1123_subdomain, "a.b-c.d", []),
        (meta.dns1035_label, "a1", []),
        (meta.qualified_name, "app", []),
        (meta.qualified_name, "example.com/App_1", []),
        (meta.qualified_name, "/app", ["prefix part must be non-empty"]),
        (meta.qualified_name, "x/", ["name part must be non-empty", KEY]),
        (meta.qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
        (meta.label_value, "", []),
        (meta.label_value, "é" * 32, 2),
        (meta.path_segment_name, "a:b", []),
        (meta.path_segment_name, "..", ["may not be '..'"]),
        (meta.path_segment_name, "a/b%", ["may not contain '/'", "may not contain '%'"]),
        (meta.port_name, "http", []),
        (meta.port_name, "1", ["must contain at least one letter (a-z)"]),
        (meta.port_name, "a--b-", ["must not contain consecutive hyphens", "must not begin or end with a hyphen"]),
        (meta.config_map_key, "..a", ["must not start with '..'"]),
        (meta.env_var_name, "A.b-c_1", []),
        (meta.relaxed_env_var_name, "1 ü", 1),
        (meta.relaxed_env_var_name, "", ["environment variable name must be non-empty"]),
        (meta.wildcard_dns1123_subdomain, "*.a.b", []),
        (meta.wildcard_dns1123_subdomain, "a.b", 1),
        (meta.port_number, 0, ["must be between 1 and 65535, inclusive"]),
        (meta.percent, "25%", []),
        (meta.percent, "25", 1),
    ],
)
def test_syntax(check, value, messages) -> None:  # type: ignore[no-untyped-def]
    found = check(value)
    assert (len(found) if isinstance(messages, int) else found) == messages

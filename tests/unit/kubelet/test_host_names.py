"""Whose an interface or a rule is."""

import pytest

from minikube_py.kubelet.network.host_names import is_owned


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("mkube c1 vm-2", True),
        ("mkube c1 vm", False),
        ("mkube c1 ", True),
        ("mkube c ", False),
        ("mkube c1 vm-20", False),
        ("", False),
    ],
)
def test_a_node_owns_its_own_and_a_cluster_those_of_its_nodes(owner: str, expected: bool) -> None:
    assert is_owned("mkube c1 vm-2", owner) is expected

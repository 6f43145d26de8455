"""Settings that don't fit together are refused in one sentence."""

from pathlib import Path

import pytest

from minikube_py.config import ConfigError, NetworkConfig, ServerConfig, parse_node_limits


@pytest.mark.parametrize(("text", "limits"), [("", None), ("0:5", (0, 5)), ("2:2", (2, 2))])
def test_node_limits_are_read(text: str, limits: tuple[int, int] | None) -> None:
    assert parse_node_limits(text) == limits
    assert ServerConfig(Path("/data"), autoscale_nodes=limits).autoscale_nodes == limits


@pytest.mark.parametrize("text", ["5", "a:b", "3:", "-1:4"])
def test_limits_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form MIN:MAX"):
        parse_node_limits(text)


@pytest.mark.parametrize("limits", [(3, 2), (0, 0)])
def test_limits_that_allow_nothing_are_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="--autoscale-nodes"):
        ServerConfig(Path("/data"), autoscale_nodes=limits)


def test_load_balancers_need_a_range_of_their_own() -> None:
    assert NetworkConfig(load_balancer_cidr="").load_balancer_cidr == ""
    with pytest.raises(ConfigError, match=r"--load-balancer-cidr 10.43.9.0/24 and --service-cidr 10.43.0.0/16 overlap"):
        NetworkConfig(load_balancer_cidr="10.43.9.0/24")
    with pytest.raises(ConfigError, match="is not an IPv4 range"):
        NetworkConfig(load_balancer_cidr="10.44.0.0/99")

"""Expansion of $(VAR), service variables and downward values, as tables."""

import pytest

from minikube_py.kubelet import environment
from minikube_py.objects.errors import Object

VARIABLES = {"A": "1", "B": "two words", "EMPTY": "", "REF": "$(A)"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1ytwo wordsz"),
        ("$(EMPTY)", ""),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(REF)", "$(A)"),
        ("$A", "$A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$$", "$"),
        ("$(A", "$(A"),
        ("$(A$(B)", "$(A$(B)"),
        ("$()", "$()"),
        ("$( A)", "$( A)"),
        ("((A))$(A))", "((A))1)"),
        ("$(A)$(A)", "11"),
        ("%$(A)%", "%1%"),
        ("$-$(A)", "$-1"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert environment.expand(text, VARIABLES.get) == expected


def service(name: str, ip: str = "10.43.0.7", **spec: object) -> Object:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]
    return {"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": ports, **spec}}


def test_service_variables() -> None:
    found = environment.service_variables([service("my-web"), service("headless", "None"), service("out", "")])
    assert found == {
        "MY_WEB_SERVICE_HOST": "10.43.0.7",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP": "80",
        "MY_WEB_SERVICE_PORT_DNS_UDP": "53",
        "MY_WEB_PORT": "tcp://10.43.0.7:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.43.0.7:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.43.0.7",
        "MY_WEB_PORT_53_UDP": "udp://10.43.0.7:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": "10.43.0.7",
    }


POD: Object = {
    "metadata": {
        "name": "p", "namespace": "ns", "uid": "u", "labels": {"b": "2", "a": 'x"y'}, "annotations": {"k/z": "l1\nl2"},
    },
    "spec": {"nodeName": "n1", "serviceAccountName": "sa"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u"),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['k/z']", "l1\nl2"),
        ("metadata.labels", 'a="x\\"y"\nb="2"'),
        ("metadata.annotations", 'k/z="l1\\nl2"'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "10.42.0.2"),
        ("status.podIPs", "10.42.0.2,fd00::2"),
        ("status.hostIP", "192.168.1.1"),
    ],
)
def test_field_value(path: str, expected: str) -> None:
    assert environment.field_value(POD, path, ("10.42.0.2", "fd00::2"), ("192.168.1.1",)) == expected


def test_unknown_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="unsupported fieldPath"):
        environment.field_value(POD, "spec.secret", (), ())


CONTAINER: Object = {"resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1500m"}}}
NODE = {"cpu": "4", "memory": "8388608Ki"}


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("requests.cpu", "", "1"),
        ("requests.cpu", "1m", "250"),
        ("limits.cpu", "", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.memory", "", "33554432"),
        ("requests.memory", "1Mi", "32"),
        ("requests.memory", "1Gi", "1"),
        ("limits.memory", "1Gi", "8"),
        ("limits.memory", "0", "8589934592"),
    ],
)
def test_resource_value(resource: str, divisor: str, expected: str) -> None:
    selector: Object = {"resource": resource}
    if divisor:
        selector["divisor"] = divisor
    assert environment.resource_value(CONTAINER, selector, NODE) == expected


def test_env_file() -> None:
    text = "# comment\nA=1\n\nB='two words'\nexport C=\"x\"\nD=\n"
    assert environment.parse_env_file(text) == {"A": "1", "B": "two words", "C": "x", "D": ""}
    with pytest.raises(ValueError, match="invalid line"):
        environment.parse_env_file("nonsense")

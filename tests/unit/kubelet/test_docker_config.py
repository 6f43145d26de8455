"""What Docker is asked to create: an allow-list, the same for first starts and restarts."""

from dataclasses import replace

import pytest

from minikube_py.kubelet.runtimes.docker_config import Joined, SandboxNetwork, container_config, sandbox_config
from minikube_py.kubelet.runtimes.docker_labels import Owner, container_name
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ContainerSpec,
    Mount,
    PodRef,
    PortMapping,
    SandboxSpec,
    Security,
)

OWNER = Owner("cluster-1", "node-1")
POD = PodRef("0f3c9a5e-1111", "default", "web")
SANDBOX = SandboxSpec(POD, "web")
CONTAINER = ContainerSpec(POD, "main", "app:1", spec_hash="h")
NETLINK = SandboxNetwork(mode="none", is_disabled=True)


def host(spec: ContainerSpec, *, shares: bool = False) -> dict[str, object]:
    return container_config(spec, OWNER, Joined("abc", shares))["HostConfig"]


def test_user_labels_never_replace_mkubes_own() -> None:
    mine = {"io.mkube.cluster": "stolen", "io.mkube.kind": "x", "app": "web"}
    labels = container_config(replace(CONTAINER, labels=mine), OWNER, Joined("abc"))["Labels"]
    assert (labels["io.mkube.cluster"], labels["io.mkube.kind"], labels["app"]) == ("cluster-1", "container", "web")
    labels = sandbox_config(replace(SANDBOX, labels=mine), OWNER, "10.42.0.2", NETLINK)["Labels"]
    assert (labels["io.mkube.cluster"], labels["io.mkube.pod.ip"]) == ("cluster-1", "10.42.0.2")


def test_a_restart_differs_from_the_first_start_in_its_count_only() -> None:
    first = container_config(CONTAINER, OWNER, Joined("abc"))
    second = container_config(replace(CONTAINER, restart_count=1), OWNER, Joined("abc"))
    assert second["Labels"].pop("io.mkube.restart-count") == "1"
    first["Labels"].pop("io.mkube.restart-count")
    assert first == second


def test_a_container_joins_its_sandbox() -> None:
    config = host(CONTAINER)
    assert (config["NetworkMode"], config["IpcMode"], config["PidMode"]) == ("container:abc", "container:abc", "")
    assert host(CONTAINER, shares=True)["PidMode"] == "container:abc"
    hosts = host(replace(CONTAINER, host_pid=True, host_ipc=True), shares=True)
    assert (hosts["PidMode"], hosts["IpcMode"]) == ("host", "host")


def test_a_runtime_holds_for_the_pod_and_its_containers() -> None:
    assert "Runtime" not in host(CONTAINER)
    assert container_config(CONTAINER, OWNER, Joined("abc", False, "nvidia"))["HostConfig"]["Runtime"] == "nvidia"
    spec = replace(SANDBOX, runtime_handler="nvidia")
    assert sandbox_config(spec, OWNER, "10.42.0.2", NETLINK)["HostConfig"]["Runtime"] == "nvidia"


def test_nothing_is_privileged_unless_asked_for() -> None:
    config = host(CONTAINER)
    assert config["Privileged"] is False
    assert (config["CapAdd"], config["SecurityOpt"], config["Devices"]) == ([], [], [])
    assert "MaskedPaths" not in config


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (Security(no_new_privileges=True), ["no-new-privileges"]),
        (Security(seccomp="RuntimeDefault", apparmor="runtime/default"), []),
        (Security(seccomp="Unconfined"), ["seccomp=unconfined"]),
        (Security(seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}'), ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']),
        (Security(apparmor="my-profile"), ["apparmor=my-profile"]),
    ],
)
def test_security_options(security: Security, expected: list[str]) -> None:
    assert host(replace(CONTAINER, security=security))["SecurityOpt"] == expected


def test_unmasked_paths_are_empty_lists() -> None:
    config = host(replace(CONTAINER, security=Security(masked_paths=False)))
    assert (config["MaskedPaths"], config["ReadonlyPaths"]) == ([], [])


def test_limits() -> None:
    limits = CgroupLimits(cpu_shares=102, cpu_quota_us=50_000, memory_bytes=1 << 20, oom_score_adj=900, pids=7)
    config = host(replace(CONTAINER, limits=limits))
    wanted = {"CpuShares": 102, "CpuQuota": 50_000, "CpuPeriod": 100_000, "PidsLimit": 7, "OomScoreAdj": 900}
    assert {name: config[name] for name in wanted} == wanted
    assert config["Memory"] == config["MemorySwap"] == 1 << 20
    assert "Memory" not in host(CONTAINER)


def test_mounts() -> None:
    mounts = (Mount("/a", "/host:odd", read_only=True, propagation="rslave"), Mount("/t", size_bytes=5))
    bind, memory = host(replace(CONTAINER, mounts=mounts))["Mounts"]
    assert (bind["Type"], bind["Source"], bind["ReadOnly"]) == ("bind", "/host:odd", True)
    assert bind["BindOptions"] == {"Propagation": "rslave"}
    assert (memory["Type"], memory["TmpfsOptions"]["SizeBytes"]) == ("tmpfs", 5)
    with pytest.raises(ValueError, match="propagation"):
        host(replace(CONTAINER, mounts=(Mount("/a", "/b", propagation="z"),)))


def test_command_and_arguments_replace_the_images_own() -> None:
    config = container_config(replace(CONTAINER, command=("a",), args=("b",)), OWNER, Joined("abc"))
    assert (config["Entrypoint"], config["Cmd"]) == (["a"], ["b"])
    assert not {"Entrypoint", "Cmd", "User", "WorkingDir"} & set(container_config(CONTAINER, OWNER, Joined("abc")))


def test_a_sandbox_on_our_bridge_has_no_docker_network() -> None:
    config = sandbox_config(SANDBOX, OWNER, "10.42.0.2", NETLINK)
    assert (config["NetworkDisabled"], config["HostConfig"]["NetworkMode"]) == (True, "none")
    assert config["Hostname"] == "web"
    assert config["HostConfig"]["CapDrop"] == ["ALL"]


def test_a_host_network_sandbox_keeps_the_hosts_name() -> None:
    config = sandbox_config(replace(SANDBOX, host_network=True), OWNER, "", NETLINK)
    assert config["HostConfig"]["NetworkMode"] == "host"
    assert not {"Hostname", "NetworkDisabled"} & set(config)


def test_a_docker_network_gets_the_address_and_publishes_ports() -> None:
    network = SandboxNetwork("net", endpoint={"IPAMConfig": {"IPv4Address": "10.42.0.2"}}, publishes_ports=True)
    spec = replace(SANDBOX, ports=(PortMapping(80, 8080, "UDP", "127.0.0.1"),))
    config = sandbox_config(spec, OWNER, "10.42.0.2", network)
    assert config["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"]["IPv4Address"] == "10.42.0.2"
    assert config["HostConfig"]["PortBindings"] == {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}


def test_names() -> None:
    assert container_name("main", POD, 3) == "mkube_main_web_default_0f3c9a5e_3"

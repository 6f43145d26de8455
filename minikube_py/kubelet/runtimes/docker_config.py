"""Builds what Docker is asked to create, from an allow-list: the one place where a HostConfig is put together.

First starts and restarts both come through here. Nothing reaches Docker that is not written down in this file.
"""

from dataclasses import dataclass
from typing import Any

from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.pause_image import PAUSE_IMAGE
from minikube_py.kubelet.runtimes.protocol import CgroupLimits, ContainerSpec, Mount, SandboxSpec, Security

_LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
# Docker's own number for a container that holds namespaces; Kubernetes uses the same for its pause container.
_SANDBOX_OOM_SCORE = -998
_PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_ENGINE_DEFAULT_PROFILES = frozenset({"", "RuntimeDefault", "runtime/default"})
_UNCONFINED = frozenset({"Unconfined", "unconfined"})


@dataclass(frozen=True)
class SandboxNetwork:
    """How the pod network wants a sandbox to be made (the keys of `PodNetwork.sandbox_options`)."""

    mode: str = "none"
    is_disabled: bool = False
    endpoint: dict[str, Any] | None = None
    publishes_ports: bool = False


@dataclass(frozen=True)
class Joined:
    """The sandbox that a container joins."""

    sandbox_id: str
    shares_processes: bool = False
    runtime_handler: str = ""


def sandbox_config(spec: SandboxSpec, owner: Owner, ip: str, network: SandboxNetwork) -> dict[str, Any]:
    """The body of POST /containers/create for a sandbox."""
    labels = {
        **spec.labels,
        **label.pod_labels(owner, spec.pod, label.KIND_SANDBOX),
        label.RESTART_COUNT: str(spec.attempt),
        label.POD_IP: ip,
        label.SHARES_PROCESSES: "true" if spec.share_process_namespace else "false",
    }
    host_config: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else network.mode,
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "Sysctls": dict(spec.sysctls),
        "OomScoreAdj": _SANDBOX_OOM_SCORE,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Init": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "none", "Config": {}},
    }
    if spec.runtime_handler:
        host_config["Runtime"] = spec.runtime_handler
    config: dict[str, Any] = {"Image": PAUSE_IMAGE, "Labels": labels, "HostConfig": host_config}
    if spec.host_network:
        return config
    config["Hostname"] = spec.hostname
    # Docker then leaves the new namespace alone and runs no set-up hook of its own, which halves the start time.
    config["NetworkDisabled"] = network.is_disabled
    if network.endpoint is not None:
        config["NetworkingConfig"] = {"EndpointsConfig": {network.mode: network.endpoint}}
    if network.publishes_ports and spec.ports:
        config["ExposedPorts"] = {f"{port.container_port}/{port.protocol.lower()}": {} for port in spec.ports}
        host_config["PortBindings"] = _port_bindings(spec)
    return config


def _port_bindings(spec: SandboxSpec) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        key = f"{port.container_port}/{port.protocol.lower()}"
        bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": str(port.host_port)})
    return bindings


def container_config(spec: ContainerSpec, owner: Owner, joined: Joined) -> dict[str, Any]:
    """The body of POST /containers/create for a container of a pod."""
    config: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.env],
        "Labels": {
            **spec.labels,
            **label.pod_labels(owner, spec.pod, label.KIND_CONTAINER),
            label.CONTAINER: spec.name,
            label.RESTART_COUNT: str(spec.restart_count),
            label.SPEC_HASH: spec.spec_hash,
            label.IMAGE_DIGEST: spec.image_digest,
        },
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin and spec.stdin_once,
        # Kubernetes has probes of its own; an image's HEALTHCHECK is not run.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, joined),
    }
    if spec.command:
        config["Entrypoint"] = list(spec.command)
    if spec.args:
        config["Cmd"] = list(spec.args)
    if spec.working_dir:
        config["WorkingDir"] = spec.working_dir
    if spec.security.user:
        config["User"] = spec.security.user
    if spec.stop_signal:
        config["StopSignal"] = spec.stop_signal
    return config


def _host_config(spec: ContainerSpec, joined: Joined) -> dict[str, Any]:
    sandbox = f"container:{joined.sandbox_id}"
    pid_mode = "host" if spec.host_pid else sandbox if joined.shares_processes else ""
    if spec.pid_target and not pid_mode:
        pid_mode = f"container:{spec.pid_target}"
    return {
        "NetworkMode": sandbox,
        "IpcMode": "host" if spec.host_ipc else sandbox,
        "PidMode": pid_mode,
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "Devices": [_device(device) for device in spec.devices],
        "Init": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": _LOGS,
        **security_options(spec.security),
        **limit_options(spec.limits),
        **({"Runtime": joined.runtime_handler} if joined.runtime_handler else {}),
        "OomScoreAdj": spec.limits.oom_score_adj,
    }


def security_options(security: Security) -> dict[str, Any]:
    """The HostConfig fields that a container's security settings become."""
    options: dict[str, Any] = {
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "CapAdd": list(security.add_capabilities),
        "CapDrop": list(security.drop_capabilities),
        "GroupAdd": [str(group) for group in security.groups],
        "SecurityOpt": _security_opt(security),
    }
    if not security.masked_paths:
        options["MaskedPaths"] = []
        options["ReadonlyPaths"] = []
    return options


def _security_opt(security: Security) -> list[str]:
    chosen: list[str] = []
    if security.no_new_privileges:
        chosen.append("no-new-privileges")
    if security.seccomp in _UNCONFINED:
        chosen.append("seccomp=unconfined")
    elif security.seccomp not in _ENGINE_DEFAULT_PROFILES:
        chosen.append(f"seccomp={security.seccomp}")
    if security.apparmor in _UNCONFINED:
        chosen.append("apparmor=unconfined")
    elif security.apparmor not in _ENGINE_DEFAULT_PROFILES:
        chosen.append(f"apparmor={security.apparmor}")
    return chosen


def limit_options(limits: CgroupLimits) -> dict[str, Any]:
    """cgroup fields as both a HostConfig and POST /containers/{id}/update take them."""
    options: dict[str, Any] = {}
    if limits.cpu_shares:
        options["CpuShares"] = limits.cpu_shares
    if limits.cpu_quota_us:
        options["CpuQuota"] = limits.cpu_quota_us
        options["CpuPeriod"] = limits.cpu_period_us
    if limits.memory_bytes:
        options["Memory"] = limits.memory_bytes
        # The same number again means: no swap on top.
        options["MemorySwap"] = limits.memory_bytes
    if limits.pids:
        options["PidsLimit"] = limits.pids
    return options


def _mount(mount: Mount) -> dict[str, Any]:
    if not mount.host_path:
        options = {"SizeBytes": mount.size_bytes} if mount.size_bytes else {}
        return {
            "Type": "tmpfs",
            "Target": mount.container_path,
            "ReadOnly": mount.read_only,
            "TmpfsOptions": {**options, "Mode": 0o1777},
        }
    if mount.propagation not in _PROPAGATIONS:
        raise ValueError(f"unknown mount propagation {mount.propagation!r}")
    return {
        "Type": "bind",
        "Source": mount.host_path,
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": mount.propagation},
    }


def _device(device: str) -> dict[str, str]:
    on_host, _, rest = device.partition(":")
    in_container, _, permissions = rest.partition(":")
    return {
        "PathOnHost": on_host,
        "PathInContainer": in_container or on_host,
        "CgroupPermissions": permissions or "rwm",
    }

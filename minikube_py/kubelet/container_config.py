"""Builds sandbox and container specs: everything that a pod's spec refers to is looked up here and resolved."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minikube_py.kubelet import environment, pod_spec
from minikube_py.kubelet.kinds import CONFIG_MAPS, RUNTIME_CLASSES, SECRETS
from minikube_py.kubelet.pod_files import DnsSettings, PodFiles, host_names
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.references import References
from minikube_py.kubelet.resources_of import cgroup_limits, spec_hash
from minikube_py.kubelet.runtimes.protocol import (
    ContainerSpec,
    ImageState,
    Mount,
    PortMapping,
    RuntimeFailure,
    SandboxSpec,
)
from minikube_py.kubelet.security import CONFIG_ERROR, merged_security
from minikube_py.kubelet.services import PodVolumes, StartedPod
from minikube_py.kubelet.termination import message_file
from minikube_py.objects.errors import Object

MASTER_NAMESPACE, MASTER_SERVICE = "default", "kubernetes"


@dataclass(frozen=True)
class NodeFacts:
    """What specs need to know of the node: Services in a namespace, allocatable amounts, memory in bytes."""

    services: Callable[[str], list[Object]]
    allocatable: Callable[[], Mapping[str, Any]]
    memory_bytes: Callable[[], int]


class Specs:
    """Implements SpecBuilder. pods_directory None: a simulated node, on which nothing is written."""

    def __init__(
        self,
        references: References,
        volumes: PodVolumes,
        node: NodeFacts,
        dns: DnsSettings,
        pods_directory: Path | None,
    ) -> None:
        self._references = references
        self._volumes = volumes
        self._node = node
        self._dns = dns
        self._pods_directory = pods_directory
        self._files = PodFiles(pods_directory, dns) if pods_directory is not None else None

    async def sandbox(self, pod: Object, attempt: int, ip: str) -> SandboxSpec:
        """Raises RuntimeFailure(FailedCreatePodSandBox, ...) when the pod's RuntimeClass is missing."""
        spec = pod["spec"]
        host, _ = host_names(pod, self._dns.domain)
        sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
        return SandboxSpec(
            pod=pod_spec.reference(pod),
            hostname=host,
            attempt=attempt,
            labels=pod["metadata"].get("labels") or {},
            annotations=pod["metadata"].get("annotations") or {},
            host_network=bool(spec.get("hostNetwork")),
            host_pid=bool(spec.get("hostPID")),
            host_ipc=bool(spec.get("hostIPC")),
            share_process_namespace=bool(spec.get("shareProcessNamespace")),
            sysctls={entry["name"]: entry["value"] for entry in sysctls},
            ports=() if spec.get("hostNetwork") else _ports(pod),
            ip=ip,
            runtime_handler=await self._runtime_handler(pod) if spec.get("runtimeClassName") else "",
        )

    async def _runtime_handler(self, pod: Object) -> str:
        name = pod["spec"]["runtimeClassName"]
        found = await self._references.get(pod["metadata"]["uid"], RUNTIME_CLASSES, "", name)
        if found is None:
            raise RuntimeFailure("FailedCreatePodSandBox", f'runtimeclass.node.k8s.io "{name}" not found')
        return str(found.get("handler") or "")

    async def container(
        self, started: StartedPod, container: PodContainer, restart_count: int, image: ImageState
    ) -> ContainerSpec:
        """Raises RuntimeFailure(CreateContainerConfigError, ...) when something that is referred to is missing."""
        pod, spec = started.pod, container.spec
        security = merged_security(pod, container, image)
        variables = await self._environment(started, container)
        mounts = await self._mounts(started, container, variables, restart_count)
        return ContainerSpec(
            pod=pod_spec.reference(pod),
            name=container.name,
            image=container.image,
            image_digest=image.digest_of(container.image),
            restart_count=restart_count,
            command=environment.expand_all(spec.get("command") or (), variables),
            args=environment.expand_all(spec.get("args") or (), variables),
            env=tuple(variables.items()),
            working_dir=str(spec.get("workingDir") or ""),
            mounts=mounts,
            devices=tuple(device["devicePath"] for device in spec.get("volumeDevices") or ()),
            security=security,
            limits=cgroup_limits(pod, spec, self._node.memory_bytes()),
            stdin=bool(spec.get("stdin")),
            stdin_once=bool(spec.get("stdinOnce")),
            tty=bool(spec.get("tty")),
            host_network=bool(pod["spec"].get("hostNetwork")),
            host_pid=bool(pod["spec"].get("hostPID")),
            host_ipc=bool(pod["spec"].get("hostIPC")),
            pid_target=started.running.get(spec.get("targetContainerName") or "", ""),
            stop_signal=str((spec.get("lifecycle") or {}).get("stopSignal") or ""),
            labels=pod["metadata"].get("labels") or {},
            annotations=pod["metadata"].get("annotations") or {},
            spec_hash=spec_hash(spec),
        )

    async def _mounts(
        self, started: StartedPod, container: PodContainer, variables: dict[str, str], restart_count: int
    ) -> tuple[Mount, ...]:
        mounts = await self._volumes.mounts(started.pod, container, variables)
        if self._files is None or self._pods_directory is None:
            return mounts
        taken = [mount.container_path for mount in mounts]
        mounts += await self._files.mounts(started, taken)
        message_path = container.spec.get("terminationMessagePath") or "/dev/termination-log"
        path = message_file(self._pods_directory, started.pod["metadata"]["uid"], container.name, restart_count)
        await asyncio.to_thread(_make_message_file, path)
        return (*mounts, Mount(container_path=message_path, host_path=str(path)))

    async def _environment(self, started: StartedPod, container: PodContainer) -> dict[str, str]:
        links = self._service_variables(started.pod)
        found: dict[str, str] = {}
        for source in container.spec.get("envFrom") or ():
            found |= await self._env_from(started.pod, source)

        def lookup(name: str) -> str | None:
            return found.get(name, links.get(name))

        for entry in container.spec.get("env") or ():
            if entry.get("valueFrom"):
                value = await self._value_from(started, container, entry["valueFrom"])
                if value is None:
                    continue
            else:
                value = environment.expand(entry.get("value") or "", lookup)
            found[entry["name"]] = value
        return links | found

    def _service_variables(self, pod: Object) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        services = {
            s["metadata"]["name"]: s
            for s in self._node.services(MASTER_NAMESPACE)
            if s["metadata"]["name"] == MASTER_SERVICE
        }
        if pod["spec"].get("enableServiceLinks", True) is not False:
            services |= {s["metadata"]["name"]: s for s in self._node.services(namespace)}
        return environment.service_variables(services.values())

    async def _env_from(self, pod: Object, source: Object) -> dict[str, str]:
        prefix = source.get("prefix") or ""
        if source.get("configMapRef"):
            data = await self._config_map(pod, source["configMapRef"])
        else:
            data = await self._secret(pod, source.get("secretRef") or {})
        return {f"{prefix}{key}": (data or {})[key] for key in sorted(data or {})}

    async def _config_map(self, pod: Object, ref: Object) -> dict[str, str] | None:
        meta = pod["metadata"]
        found = await self._references.get(meta["uid"], CONFIG_MAPS, meta["namespace"], ref["name"])
        if found is None:
            if ref.get("optional"):
                return None
            raise RuntimeFailure(CONFIG_ERROR, f'configmap "{ref["name"]}" not found')
        return dict(found.get("data") or {})

    async def _secret(self, pod: Object, ref: Object) -> dict[str, str] | None:
        meta = pod["metadata"]
        found = await self._references.get(meta["uid"], SECRETS, meta["namespace"], ref["name"])
        if found is None:
            if ref.get("optional"):
                return None
            raise RuntimeFailure(CONFIG_ERROR, f'secret "{ref["name"]}" not found')
        data = found.get("data") or {}
        return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}

    async def _value_from(self, started: StartedPod, container: PodContainer, source: Object) -> str | None:
        pod = started.pod
        try:
            if "fieldRef" in source:
                path = source["fieldRef"]["fieldPath"]
                return environment.field_value(pod, path, started.ips, started.host_ips)
            if "resourceFieldRef" in source:
                selector = source["resourceFieldRef"]
                name = selector.get("containerName")
                target = pod_spec.find_container(pod, name) if name else container
                spec = target.spec if target is not None else {}
                return environment.resource_value(spec, selector, self._node.allocatable())
            if "fileKeyRef" in source:
                return await self._file_key(pod, source["fileKeyRef"])
        except ValueError as error:
            raise RuntimeFailure(CONFIG_ERROR, str(error)) from error
        if "configMapKeyRef" in source:
            ref = source["configMapKeyRef"]
            return _key(ref, await self._config_map(pod, ref), pod, "ConfigMap")
        ref = source.get("secretKeyRef") or {}
        return _key(ref, await self._secret(pod, ref), pod, "Secret")

    async def _file_key(self, pod: Object, ref: Object) -> str | None:
        text = await self._volumes.read_file(pod, ref["volumeName"], ref["path"])
        if text is None:
            if ref.get("optional"):
                return None
            raise RuntimeFailure(CONFIG_ERROR, f'file "{ref["path"]}" not found in volume "{ref["volumeName"]}"')
        found = environment.parse_env_file(text)
        if ref["key"] not in found and not ref.get("optional"):
            raise RuntimeFailure(CONFIG_ERROR, f'environment variable key "{ref["key"]}" not found in file')
        return found.get(ref["key"])


def _key(ref: Object, data: Mapping[str, str] | None, pod: Object, kind: str) -> str | None:
    if data is not None and ref["key"] in data:
        return data[ref["key"]]
    if ref.get("optional"):
        return None
    where = f"{pod['metadata']['namespace']}/{ref['name']}"
    raise RuntimeFailure(CONFIG_ERROR, f"couldn't find key {ref['key']} in {kind} {where}")


def _ports(pod: Object) -> tuple[PortMapping, ...]:
    found = []
    for container in (*pod_spec.init_containers(pod), *pod_spec.regular_containers(pod)):
        for port in container.spec.get("ports") or ():
            if port.get("hostPort"):
                found.append(
                    PortMapping(
                        container_port=int(port["containerPort"]),
                        host_port=int(port["hostPort"]),
                        protocol=port.get("protocol") or "TCP",
                        host_ip=port.get("hostIP") or "",
                    )
                )
    return tuple(found)


def _make_message_file(path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.touch(mode=0o666)
    path.chmod(0o666)

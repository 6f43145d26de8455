"""The Pod Security Standards: what a pod may be at baseline and restricted, with Kubernetes' words for why not.

Source: the "Pod Security Standards" page, KEP-2579; wordings as in k8s.io/pod-security-admission.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.pod_facts import containers_of

LATEST_MINOR = 37


@dataclass(frozen=True)
class Violation:
    """One check that a pod fails."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Object, int], Violation | None]
"""(pod or template, minor version of the policy) -> what is wrong."""


def violations(pod: Object, level: str, minor: int = LATEST_MINOR) -> list[Violation]:
    """What keeps `pod` (or a pod template) from `level`: privileged, baseline or restricted, as of v1.<minor>."""
    if level == "privileged":
        return []
    minor = min(minor, LATEST_MINOR)
    checks: list[Check] = []
    for name, (check, since) in _BASELINE.items():
        replaced_since = _REPLACED_AT_RESTRICTED.get(name)
        is_replaced = level == "restricted" and replaced_since is not None and minor >= replaced_since
        if minor >= since and not is_replaced:
            checks.append(check)
    if level == "restricted":
        checks += [check for check, since in _RESTRICTED.values() if minor >= since]
    found = (check(pod, minor) for check in checks)
    return [violation for violation in found if violation is not None]


# -- reading pods


def _security(holder: Object) -> Object:
    return holder.get("securityContext") or {}


def _annotations(pod: Object) -> dict[str, str]:
    return (pod.get("metadata") or {}).get("annotations") or {}


def _is_windows(spec: Object) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _has_user_namespace(spec: Object) -> bool:
    return spec.get("hostUsers") is False


def _names(containers: Iterable[Object]) -> list[str]:
    return [c.get("name", "") for c in containers]


# -- wording


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _containers(names: list[str]) -> str:
    return f"{_plural('container', 'containers', len(names))} {_quoted(names)}"


def _setters(*, pod: bool, containers: list[str]) -> list[str]:
    return [*(["pod"] if pod else []), *([_containers(containers)] if containers else [])]


# -- baseline


def _app_armor(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    allowed = ("RuntimeDefault", "Localhost")

    def bad(holder: Object) -> str:
        kind = (_security(holder).get("appArmorProfile") or {}).get("type")
        return kind if kind is not None and kind not in allowed else ""

    pod_value = bad(spec)
    bad_containers = [c for c in containers_of(spec) if bad(c)]
    values = sorted({v for v in [pod_value, *(bad(c) for c in bad_containers)] if v})
    setters = _setters(pod=bool(pod_value), containers=_names(bad_containers))
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in _annotations(pod).items()
        if key.startswith(prefix) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    if annotations:
        values += annotations
        setters.append(_plural("annotation", "annotations", len(annotations)))
    if not setters:
        return None
    return Violation(
        _plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(values)),
        f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}",
    )


_DEFAULT_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT".split()
)


def _added(container: Object) -> list[str]:
    return (_security(container).get("capabilities") or {}).get("add") or []


def _capabilities_baseline(pod: Object, minor: int) -> Violation | None:
    bad = [c for c in containers_of(pod.get("spec") or {}) if set(_added(c)) - _DEFAULT_CAPABILITIES]
    if not bad:
        return None
    extra = sorted({name for c in bad for name in _added(c)} - _DEFAULT_CAPABILITIES)
    return Violation(
        "non-default capabilities",
        f"{_containers(_names(bad))} must not include {_quoted(extra)} in securityContext.capabilities.add",
    )


def _host_namespaces(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    found = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(pod: Object, minor: int) -> Violation | None:
    names = [v.get("name", "") for v in (pod.get("spec") or {}).get("volumes") or [] if v.get("hostPath") is not None]
    if not names:
        return None
    return Violation("hostPath volumes", f"{_plural('volume', 'volumes', len(names))} {_quoted(names)}")


def _host_ports(pod: Object, minor: int) -> Violation | None:
    bad = [c for c in containers_of(pod.get("spec") or {}) if any(p.get("hostPort") for p in c.get("ports") or [])]
    if not bad:
        return None
    ports = sorted({str(p["hostPort"]) for c in bad for p in c["ports"] if p.get("hostPort")})
    use = _plural("uses", "use", len(bad))
    what = _plural("hostPort", "hostPorts", len(ports))
    return Violation("hostPort", f"{_containers(_names(bad))} {use} {what} {', '.join(ports)}")


def _probe_hosts(container: Object) -> list[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(k) for k in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
    hosts = [(h.get(k) or {}).get("host") for h in handlers if h for k in ("httpGet", "tcpSocket")]
    return [host for host in hosts if host]


def _host_probes(pod: Object, minor: int) -> Violation | None:
    bad = [c for c in containers_of(pod.get("spec") or {}) if _probe_hosts(c)]
    if not bad:
        return None
    hosts = sorted({host for c in bad for host in _probe_hosts(c)})
    names = sorted(set(_names(bad)))
    use = _plural("uses", "use", len(names))
    what = _plural("probe or lifecycle host", "probe or lifecycle hosts", len(hosts))
    return Violation("probe or lifecycle host", f"{_containers(names)} {use} {what} {_quoted(hosts)}")


def _privileged(pod: Object, minor: int) -> Violation | None:
    bad = _names(c for c in containers_of(pod.get("spec") or {}) if _security(c).get("privileged"))
    return Violation("privileged", f"{_containers(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    bad = [c for c in containers_of(spec) if _security(c).get("procMount") not in (None, "Default")]
    if not bad:
        return None
    kinds = sorted({_security(c)["procMount"] for c in bad})
    text = f"{_containers(_names(bad))} must not set securityContext.procMount to {_quoted(kinds)}"
    return Violation("procMount", text)


def _proc_mount_baseline(pod: Object, minor: int) -> Violation | None:
    if minor >= 35 and _has_user_namespace(pod.get("spec") or {}):
        return None
    return _proc_mount(pod, minor)


_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t")


def _selinux(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    allowed = (*_SELINUX_TYPES, "container_engine_t") if minor >= 31 else _SELINUX_TYPES

    def options(holder: Object) -> Object:
        return _security(holder).get("seLinuxOptions") or {}

    def is_bad(holder: Object) -> bool:
        chosen = options(holder)
        return chosen.get("type", "") not in allowed or bool(chosen.get("user")) or bool(chosen.get("role"))

    bad = [c for c in containers_of(spec) if is_bad(c)]
    setters = _setters(pod=is_bad(spec), containers=_names(bad))
    if not setters:
        return None
    sources = [options(h) for h in [*([spec] if is_bad(spec) else []), *bad]]
    types = sorted({o.get("type", "") for o in sources} - set(allowed))
    data = [f"{_plural('type', 'types', len(types))} {_quoted(types)}"] if types else []
    data += ["user may not be set"] if any(o.get("user") for o in sources) else []
    data += ["role may not be set"] if any(o.get("role") for o in sources) else []
    text = f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Violation("seLinuxOptions", text)


def _seccomp_type(holder: Object) -> str | None:
    profile = _security(holder).get("seccompProfile")
    return profile.get("type", "") if profile else None


_SECCOMP_TYPES = ("RuntimeDefault", "Localhost")


def _seccomp_baseline(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor < 19:
        return None

    def is_bad(holder: Object) -> bool:
        return _seccomp_type(holder) not in (None, *_SECCOMP_TYPES)

    bad = [c for c in containers_of(spec) if is_bad(c)]
    setters = _setters(pod=is_bad(spec), containers=_names(bad))
    if not setters:
        return None
    values = sorted({str(_seccomp_type(h)) for h in [*([spec] if is_bad(spec) else []), *bad]})
    text = f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to {_quoted(values)}"
    return Violation("seccompProfile", text)


_SYSCTLS: tuple[tuple[int, str], ...] = (
    (0, "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle net.ipv4.tcp_notsent_lowat"),
)


def _sysctls(pod: Object, minor: int) -> Violation | None:
    allowed = {name for since, names in _SYSCTLS if minor >= since for name in names.split()}
    wanted = [s.get("name", "") for s in _security(pod.get("spec") or {}).get("sysctls") or []]
    bad = [name for name in wanted if name not in allowed]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _host_process(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}

    def is_bad(holder: Object) -> bool:
        return bool((_security(holder).get("windowsOptions") or {}).get("hostProcess"))

    setters = _setters(pod=is_bad(spec), containers=_names(c for c in containers_of(spec) if is_bad(c)))
    if not setters:
        return None
    text = f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", text)


# -- restricted


def _privilege_escalation(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor >= 25 and _is_windows(spec):
        return None
    bad = _names(c for c in containers_of(spec) if _security(c).get("allowPrivilegeEscalation") is not False)
    if not bad:
        return None
    text = f"{_containers(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", text)


def _capabilities_restricted(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor >= 25 and _is_windows(spec):
        return None
    keeping, adding, forbidden = [], [], set()
    for container in containers_of(spec):
        dropped = (_security(container).get("capabilities") or {}).get("drop") or []
        if "ALL" not in dropped:
            keeping.append(container.get("name", ""))
        extra = [name for name in _added(container) if name != "NET_BIND_SERVICE"]
        if extra:
            adding.append(container.get("name", ""))
            forbidden.update(extra)
    details = []
    if keeping:
        details.append(f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra_text = _quoted(sorted(forbidden))
        details.append(f"{_containers(adding)} must not include {extra_text} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


_VOLUMES = frozenset(
    "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split()
)


def _volume_type(volume: dict[str, Any]) -> str:
    return next((key for key, source in volume.items() if key != "name" and source is not None), "unknown")


def _restricted_volumes(pod: Object, minor: int) -> Violation | None:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    bad = [v for v in volumes if _volume_type(v) not in _VOLUMES]
    if not bad:
        return None
    names, types = [v.get("name", "") for v in bad], sorted({_volume_type(v) for v in bad})
    use = _plural("uses", "use", len(names))
    what = _plural("restricted volume type", "restricted volume types", len(types))
    text = f"{_plural('volume', 'volumes', len(names))} {_quoted(names)} {use} {what} {_quoted(types)}"
    return Violation("restricted volume types", text)


def _run_as_non_root(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor >= 35 and _has_user_namespace(spec):
        return None
    reason = "runAsNonRoot != true"
    of_pod = _security(spec).get("runAsNonRoot")
    explicit = _names(c for c in containers_of(spec) if _security(c).get("runAsNonRoot") is False)
    setters = _setters(pod=of_pod is False, containers=explicit)
    if setters:
        return Violation(reason, f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false")
    silent = _names(c for c in containers_of(spec) if _security(c).get("runAsNonRoot") is None)
    if of_pod or not silent:
        return None
    return Violation(reason, f"pod or {_containers(silent)} must set securityContext.runAsNonRoot=true")


def _run_as_user(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor >= 35 and _has_user_namespace(spec):
        return None
    roots = _names(c for c in containers_of(spec) if _security(c).get("runAsUser") == 0)
    setters = _setters(pod=_security(spec).get("runAsUser") == 0, containers=roots)
    return Violation("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0") if setters else None


def _seccomp_restricted(pod: Object, minor: int) -> Violation | None:
    spec = pod.get("spec") or {}
    if minor >= 25 and _is_windows(spec):
        return None
    explicit = _seccomp_baseline(pod, minor)
    if explicit is not None:
        return explicit
    silent = _names(c for c in containers_of(spec) if _seccomp_type(c) is None)
    if _seccomp_type(spec) is not None or not silent:
        return None
    text = (
        f'pod or {_containers(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    )
    return Violation("seccompProfile", text)


# In the order Kubernetes reports them; the number is the minor version since when a check exists.
_BASELINE: dict[str, tuple[Check, int]] = {
    "appArmorProfile": (_app_armor, 0),
    "capabilities_baseline": (_capabilities_baseline, 0),
    "hostNamespaces": (_host_namespaces, 0),
    "hostPathVolumes": (_host_paths, 0),
    "hostPorts": (_host_ports, 0),
    "hostProbesAndHostLifecycle": (_host_probes, 34),
    "privileged": (_privileged, 0),
    "procMount": (_proc_mount_baseline, 0),
    "seLinuxOptions": (_selinux, 0),
    "seccompProfile_baseline": (_seccomp_baseline, 0),
    "sysctls": (_sysctls, 0),
    "windowsHostProcess": (_host_process, 0),
}
_RESTRICTED: dict[str, tuple[Check, int]] = {
    "allowPrivilegeEscalation": (_privilege_escalation, 8),
    "capabilities_restricted": (_capabilities_restricted, 22),
    "procMount_restricted": (_proc_mount, 35),
    "restrictedVolumes": (_restricted_volumes, 0),
    "runAsNonRoot": (_run_as_non_root, 0),
    "runAsUser": (_run_as_user, 23),
    "seccompProfile_restricted": (_seccomp_restricted, 19),
}
# Baseline checks that a stricter restricted one takes the place of, from that minor version on.
_REPLACED_AT_RESTRICTED = {
    "capabilities_baseline": 22,
    "hostPathVolumes": 0,
    "procMount": 35,
    "seccompProfile_baseline": 19,
}

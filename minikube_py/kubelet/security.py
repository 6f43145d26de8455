"""Merges pod and container security contexts into what the runtime gets; pure.

Source: core/v1 PodSecurityContext and SecurityContext: the container's own field wins.
"""

from typing import Any

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.runtimes.protocol import ImageState, RuntimeFailure, Security
from minikube_py.objects.errors import Object

CONFIG_ERROR = "CreateContainerConfigError"


def merged_security(pod: Object, container: PodContainer, image: ImageState) -> Security:
    """Raises RuntimeFailure(CreateContainerConfigError) where runAsNonRoot cannot be kept."""
    of_pod: Object = pod["spec"].get("securityContext") or {}
    own: Object = container.spec.get("securityContext") or {}
    _check_non_root(pod, container, image)
    capabilities = own.get("capabilities") or {}
    is_privileged = bool(own.get("privileged"))
    added = tuple(c.removeprefix("CAP_") for c in capabilities.get("add") or ())
    may_escalate = own.get("allowPrivilegeEscalation")
    return Security(
        user=_user(_either(own, of_pod, "runAsUser"), _either(own, of_pod, "runAsGroup"), image),
        groups=_groups(of_pod),
        privileged=is_privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=may_escalate is False and not is_privileged and "SYS_ADMIN" not in added,
        add_capabilities=added,
        drop_capabilities=tuple(c.removeprefix("CAP_") for c in capabilities.get("drop") or ()),
        seccomp=_profile(_either(own, of_pod, "seccompProfile"), "localhost/"),
        apparmor=_profile(_either(own, of_pod, "appArmorProfile"), ""),
        masked_paths=own.get("procMount") != "Unmasked",
    )


def _either(own: Object, of_pod: Object, field: str) -> Any:
    value = own.get(field)
    return of_pod.get(field) if value is None else value


def _user(uid: int | None, gid: int | None, image: ImageState) -> str:
    if uid is None and gid is None:
        return ""
    user = str(uid) if uid is not None else (image.user.partition(":")[0] or "0")
    return user if gid is None else f"{user}:{gid}"


def _groups(of_pod: Object) -> tuple[int, ...]:
    groups = [int(g) for g in of_pod.get("supplementalGroups") or ()]
    if of_pod.get("fsGroup") is not None:
        groups.append(int(of_pod["fsGroup"]))
    return tuple(dict.fromkeys(groups))


def _profile(profile: Object | None, prefix: str) -> str:
    """'' is the engine's default profile, which is what RuntimeDefault asks for."""
    kind = (profile or {}).get("type")
    if kind == "Unconfined":
        return "unconfined"
    if kind == "Localhost" and profile is not None:
        return f"{prefix}{profile.get('localhostProfile') or ''}"
    return ""


def _check_non_root(pod: Object, container: PodContainer, image: ImageState) -> None:
    of_pod: Object = pod["spec"].get("securityContext") or {}
    own: Object = container.spec.get("securityContext") or {}
    if not _either(own, of_pod, "runAsNonRoot"):
        return
    where = f'(pod: "{pod_spec.full_name(pod)}", container: {container.name})'
    uid = _either(own, of_pod, "runAsUser")
    if uid is not None:
        if int(uid) == 0:
            raise RuntimeFailure(CONFIG_ERROR, f"container's runAsUser breaks non-root policy {where}")
        return
    user = image.user.partition(":")[0]
    if user in ("", "0", "root"):
        raise RuntimeFailure(CONFIG_ERROR, f"container has runAsNonRoot and image will run as root {where}")
    if not user.isdigit():
        text = f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        raise RuntimeFailure(CONFIG_ERROR, f"{text} {where}")

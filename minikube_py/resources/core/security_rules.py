"""Checks the security contexts of pods and containers."""

import re

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import MAX_INT32, validate_local_path

SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_TEXT = f"^({_SYSCTL_SEGMENT}[\\./])*{_SYSCTL_SEGMENT}$"
_SYSCTL = re.compile(_SYSCTL_TEXT)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_PATH_MAX = 4095
_WINDOWS_CHARS = re.compile(r"[\"/\\:;|=,+*?<>@\[\]]")


def validate_pod_security_context(spec: Object, path: Path, errors: FieldErrors) -> None:
    """The pod-wide context; host namespaces are fields of the spec."""
    context = spec.get("securityContext")
    if not context:
        return
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        _validate_id(context.get(key), path.child(key), errors)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        _validate_id(group, path.child("supplementalGroups").index(index), errors)
    if context.get("sysctls"):
        _validate_sysctls(spec, context["sysctls"], path.child("sysctls"), errors)
    errors.optional_enum(
        path.child("fsGroupChangePolicy"), context.get("fsGroupChangePolicy"), ("Always", "OnRootMismatch")
    )
    _validate_profiles(context, path, errors)
    errors.optional_enum(
        path.child("supplementalGroupsPolicy"), context.get("supplementalGroupsPolicy"), ("Merge", "Strict")
    )
    errors.optional_enum(
        path.child("seLinuxChangePolicy"), context.get("seLinuxChangePolicy"), ("MountOption", "Recursive")
    )


def validate_host_namespaces(spec: Object, path: Path, errors: FieldErrors) -> None:
    """What host namespaces and a user namespace of one's own exclude."""
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        at = path.child("securityContext", "shareProcessNamespace")
        errors.invalid(at, True, "ShareProcessNamespace and HostPID cannot both be enabled")
    if spec.get("hostUsers") is False:
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(key):
                errors.forbidden(path.child(shown), "when `pod.Spec.HostUsers` is false")


def validate_security_context(context: Object, path: Path, errors: FieldErrors, *, host_users: bool = True) -> None:
    """The context of one container."""
    for key in ("runAsUser", "runAsGroup"):
        _validate_id(context.get(key), path.child(key), errors)
    mount = context.get("procMount")
    errors.optional_enum(path.child("procMount"), mount, ("Default", "Unmasked"))
    if mount == "Unmasked" and host_users:
        errors.invalid(path.child("procMount"), mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.invalid(path, context, why)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.invalid(path, context, why)
    _validate_profiles(context, path, errors)


def _validate_id(value: int | None, path: Path, errors: FieldErrors) -> None:
    if value is not None and not 0 <= value <= MAX_INT32:
        errors.invalid(path, value, meta.range_message(0, MAX_INT32))


def _validate_sysctls(spec: Object, sysctls: list[Object], path: Path, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at = path.index(index).child("name")
        name = sysctl.get("name", "")
        if not name:
            errors.required(at)
        elif len(name) > 253 or _SYSCTL.fullmatch(name) is None:
            errors.invalid(at, name, f"must have at most 253 characters and match regex {_SYSCTL_TEXT}")
        elif name in seen:
            errors.duplicate(at, name)
        seen.add(name)
        plain = name.replace("/", ".")
        if spec.get("hostNetwork") and plain.startswith("net."):
            errors.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and plain.startswith(_IPC_SYSCTLS):
            errors.invalid(at, name, "may not be specified when 'hostIPC' is true")


def _validate_profiles(context: Object, path: Path, errors: FieldErrors) -> None:
    if context.get("seccompProfile") is not None:
        _validate_seccomp(context["seccompProfile"], path.child("seccompProfile"), errors)
    if context.get("appArmorProfile") is not None:
        _validate_apparmor(context["appArmorProfile"], path.child("appArmorProfile"), errors)
    if context.get("windowsOptions") is not None:
        _validate_windows(context["windowsOptions"], path.child("windowsOptions"), errors)


def _validate_seccomp(profile: Object, path: Path, errors: FieldErrors) -> None:
    why = "type is required when seccompProfile is set"
    errors.enum(path.child("type"), profile.get("type"), SECCOMP_TYPES, why)
    local, at = profile.get("localhostProfile"), path.child("localhostProfile")
    if profile.get("type") == "Localhost":
        if local is None:
            errors.required(at, "must be set when seccomp type is Localhost")
        else:
            validate_local_path(local, at, errors)
    elif local is not None:
        errors.invalid(at, profile, "can only be set when seccomp type is Localhost")


def _validate_apparmor(profile: Object, path: Path, errors: FieldErrors) -> None:
    why = "type is required when appArmorProfile is set"
    errors.enum(path.child("type"), profile.get("type"), SECCOMP_TYPES, why)
    local, at = profile.get("localhostProfile"), path.child("localhostProfile")
    if profile.get("type") == "Localhost":
        if not local:
            errors.required(at, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            errors.invalid(at, local, "must not be padded with whitespace")
        elif len(local) > _PATH_MAX:
            errors.too_long(at, _PATH_MAX)
    elif local is not None and profile.get("type") in SECCOMP_TYPES:
        errors.invalid(at, local, "can only be set when AppArmor type is Localhost")


def _validate_windows(options: Object, path: Path, errors: FieldErrors) -> None:
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        errors.invalid_each(path.child("gmsaCredentialSpecName"), name, meta.dns1123_subdomain(name))
    user = options.get("runAsUserName")
    if user is None:
        return
    at = path.child("runAsUserName")
    account = user.rpartition("\\")[2]
    if not user:
        errors.invalid(at, user, "runAsUserName cannot be an empty string")
    elif user.count("\\") > 1:
        errors.invalid(at, user, "runAsUserName cannot contain more than one backslash")
    elif not account:
        errors.invalid(at, user, "runAsUserName's User cannot be empty")
    elif len(account) > 104:
        errors.invalid(at, user, "runAsUserName's User length must not be longer than 104 characters")
    elif _WINDOWS_CHARS.search(account):
        why = "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
        errors.invalid(at, user, why)


_NOT_ON_WINDOWS_POD = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_NOT_ON_WINDOWS_CONTAINER = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def validate_os(spec: Object, path: Path, errors: FieldErrors) -> None:
    """`spec.os` and what the other system's fields then may not be."""
    system = spec.get("os")
    if system is None:
        return
    name = system.get("name", "")
    if not name:
        errors.required(path.child("os", "name"), "cannot be empty")
    elif name not in ("linux", "windows"):
        errors.not_supported(path.child("os"), name, ("linux", "windows"))
    elif name == "linux":
        _forbid(
            spec,
            path,
            errors,
            (("windowsOptions",), ("windowsOptions",)),
            "windows options cannot be set for a linux pod",
        )
    else:
        for key in ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"):
            if spec.get(key):
                errors.forbidden(path.child(key), "cannot be set for a windows pod")
        keys = (_NOT_ON_WINDOWS_POD, _NOT_ON_WINDOWS_CONTAINER)
        _forbid(spec, path, errors, keys, "cannot be set for a windows pod")


def _forbid(
    spec: Object, path: Path, errors: FieldErrors, keys: tuple[tuple[str, ...], tuple[str, ...]], why: str
) -> None:
    context = spec.get("securityContext") or {}
    for key in keys[0]:
        if context.get(key) is not None:
            errors.forbidden(path.child("securityContext", key), why)
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            own = container.get("securityContext") or {}
            for key in keys[1]:
                if own.get(key) is not None:
                    errors.forbidden(path.child(group).index(index).child("securityContext", key), why)

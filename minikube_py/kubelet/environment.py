"""Computes a container's environment: expansion of $(VAR), service variables, downward fields; pure functions.

Sources: the Kubernetes documentation on dependent environment variables, on accessing Services through environment
variables, and on the downward API.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minikube_py.kubelet import pod_spec
from minikube_py.objects.errors import Object


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replace $(NAME) by its value; $$ is a dollar sign; a reference to an unknown name stays as it is written."""
    if "$" not in text:
        return text
    parts: list[str] = []
    position = 0
    while True:
        found = text.find("$", position)
        if found < 0 or found + 1 >= len(text):
            parts.append(text[position:])
            return "".join(parts)
        parts.append(text[position:found])
        following = text[found + 1]
        if following == "$":
            parts.append("$")
            position = found + 2
        elif following == "(":
            end = text.find(")", found + 2)
            if end < 0:
                parts.append("$(")
                position = found + 2
            else:
                name = text[found + 2 : end]
                value = lookup(name)
                parts.append(f"$({name})" if value is None else value)
                position = end + 1
        else:
            parts.append(text[found : found + 2])
            position = found + 2


def expand_all(texts: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(text, environment.get) for text in texts)


def service_variables(services: Iterable[Object]) -> dict[str, str]:
    """{SVC}_SERVICE_HOST, {SVC}_SERVICE_PORT and the older link variables of every Service with a cluster IP."""
    variables: dict[str, str] = {}
    for service in sorted(services, key=lambda s: str(s["metadata"]["name"])):
        spec = service.get("spec") or {}
        ip, ports = spec.get("clusterIP"), spec.get("ports") or ()
        if not ip or ip == "None" or not ports or spec.get("type") == "ExternalName":
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        variables[f"{name}_SERVICE_HOST"] = ip
        variables[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                key = port["name"].upper().replace("-", "_")
                variables[f"{name}_SERVICE_PORT_{key}"] = str(port["port"])
        variables |= _link_variables(name, ip, ports)
    return variables


def _link_variables(name: str, ip: str, ports: Iterable[Object]) -> dict[str, str]:
    variables: dict[str, str] = {}
    host = f"[{ip}]" if ":" in ip else ip
    for port in ports:
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        variables.setdefault(f"{name}_PORT", url)
        prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        variables[prefix] = url
        variables[f"{prefix}_PROTO"] = protocol.lower()
        variables[f"{prefix}_PORT"] = str(port["port"])
        variables[f"{prefix}_ADDR"] = ip
    return variables


def field_value(pod: Object, path: str, pod_ips: tuple[str, ...], host_ips: tuple[str, ...]) -> str:
    """The value of a fieldRef. Raises ValueError on a path that the downward API does not have."""
    meta, spec = pod["metadata"], pod["spec"]
    base, _, subscript = path.partition("['")
    if subscript:
        if base in ("metadata.labels", "metadata.annotations") and subscript.endswith("']"):
            return str((meta.get(base.rpartition(".")[2]) or {}).get(subscript[:-2], ""))
        raise ValueError(f'fieldPath "{path}" does not support subscript')
    if base in ("metadata.labels", "metadata.annotations"):
        return format_map(meta.get(base.rpartition(".")[2]) or {})
    values: dict[str, Any] = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path not in values:
        raise ValueError(f"unsupported fieldPath: {path}")
    return str(values[path])


def format_map(entries: Mapping[str, str]) -> str:
    """`key="escaped value"` lines in key order, as downward API volumes show labels and annotations."""
    return "\n".join(f'{key}="{_escaped(entries[key])}"' for key in sorted(entries))


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def resource_value(container: Object, selector: Object, allocatable: Mapping[str, Any]) -> str:
    """The value of a resourceFieldRef: rounded up to the divisor; a missing limit is what the node can give."""
    kind, _, name = str(selector["resource"]).partition(".")
    resources = container.get("resources") or {}
    amounts = resources.get(kind) or {}
    if name not in amounts and kind == "requests" and name in (resources.get("limits") or {}):
        amounts = resources["limits"]
    amount = pod_spec.amount(amounts, name)
    if not amount and kind == "limits":
        amount = pod_spec.amount(allocatable, name)
    divisor_text = str(selector.get("divisor") or "0")
    divisor = pod_spec.amount({name: divisor_text}, name)
    if not divisor:
        divisor = 1000 if name == "cpu" else 1
    return str(-(-amount // divisor))


def parse_env_file(text: str) -> dict[str, str]:
    """KEY=value lines; values may stand in single or double quotes; blank lines and # comments are left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key, equals, value = entry.removeprefix("export ").partition("=")
        if not equals:
            raise ValueError(f"invalid line in environment file: {line!r}")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[key.strip()] = value
    return found

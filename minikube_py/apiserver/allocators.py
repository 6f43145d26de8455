"""Gives Services their cluster IPs, node ports and health-check ports, and takes them back.

Source: kubernetes pkg/registry/core/service/storage (alloc.go): order of the steps and texts of the errors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from minikube_py.apiserver.number_pools import AddressPool, Full, PortPool, Taken
from minikube_py.objects.errors import InternalError, Invalid, Object
from minikube_py.resources.core.service_rules import needs_health_check, validate_cluster_ips
from minikube_py.resources.fields import FieldErrors, Path

DEFAULT_SERVICE_CIDRS = ("10.43.0.0/16",)
_SPEC = Path("spec")
_SINGLE, _REQUIRE = "SingleStack", "RequireDualStack"


@dataclass
class ServiceAllocation:
    """What one write took, and what it lets go of once it is stored."""

    allocator: "ServiceAllocator"
    taken: set[str | int] = field(default_factory=set)
    dropped: set[str | int] = field(default_factory=set)

    def commit(self) -> None:
        self.allocator.release(self.dropped)

    def revert(self) -> None:
        self.allocator.release(self.taken)


class ServiceAllocator:
    """Addresses are strings, ports are numbers. What is in use is read from the store at start.

    `further` answers with the ranges beside cidrs that addresses may come from now (ServiceCIDR objects, KEP-1880),
    `is_reserved` whether an address is somebody's although no Service has it. Both are asked only when it matters.
    """

    def __init__(
        self,
        cidrs: Sequence[str] = DEFAULT_SERVICE_CIDRS,
        ports: PortPool | None = None,
        further: Callable[[], Iterable[str]] = tuple,
        is_reserved: Callable[[str], bool] = lambda address: False,
    ) -> None:
        pools = [AddressPool(cidr) for cidr in cidrs]
        self._pools = {pool.family: pool for pool in pools}
        self._default_family = pools[0].family
        self._ports = ports or PortPool()
        self._further = further
        self._is_reserved = is_reserved
        self._further_pools: dict[str, AddressPool] = {}
        self._in_use: set[str] = set()

    def load(self, services: Iterable[Object]) -> None:
        """Takes what stored Services have."""
        for service in services:
            for value in values_of(service):
                if isinstance(value, int):
                    self._ports.take(value)
                else:
                    self._take(value)

    def release(self, values: Iterable[str | int]) -> None:
        for value in values:
            if isinstance(value, int):
                self._ports.release(value)
            else:
                self._in_use.discard(value)
                for pool in self._known_pools(value):
                    pool.release(value)

    def _take(self, address: str) -> None:
        self._in_use.add(address)
        for pool in self._known_pools(address):
            pool.take(address)

    def _known_pools(self, address: str) -> list[AddressPool]:
        return [pool for pool in (*self._pools.values(), *self._further_pools.values()) if address in pool]

    def _pools_of(self, family: str) -> Iterator[AddressPool]:
        """The range of the family that the cluster was started with, then those that were added."""
        yield self._pools[family]
        own = {str(pool.network) for pool in self._pools.values()}
        wanted = [cidr for cidr in self._further() if cidr not in own]
        self._further_pools = {cidr: self._further_pools.get(cidr) or self._new_pool(cidr) for cidr in wanted}
        yield from (pool for pool in self._further_pools.values() if pool.family == family)

    def _new_pool(self, cidr: str) -> AddressPool:
        pool = AddressPool(cidr)
        for address in self._in_use:
            if address in pool:
                pool.take(address)
        return pool

    def before_create(self, obj: Object) -> ServiceAllocation:
        return self._allocate(obj, None)

    def before_update(self, new: Object, old: Object) -> ServiceAllocation:
        return self._allocate(new, old)

    def after_delete(self, obj: Object) -> None:
        self.release(values_of(obj))

    def _allocate(self, service: Object, old: Object | None) -> ServiceAllocation:
        """Fills in what the service lacks. Raises Invalid and leaves nothing taken."""
        had = values_of(old) if old is not None else set()
        allocation = ServiceAllocation(self)
        try:
            self._settle_families(service, old)
            self._allocate_addresses(service, had, allocation.taken)
            self._allocate_node_ports(service, had, allocation.taken)
            self._allocate_health_check(service, had, allocation.taken)
        except Exception:
            allocation.revert()
            raise
        allocation.dropped = had - values_of(service)
        return allocation

    # -- IP families

    def _settle_families(self, service: Object, old: Object | None) -> None:
        """Sets ipFamilyPolicy and ipFamilies where the client left them to the cluster."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        is_free = spec.get("clusterIP") == "None" and not spec.get("selector")
        policy = spec.get("ipFamilyPolicy") or ((old or {}).get("spec") or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = policy or (_REQUIRE if is_free else _SINGLE)
        errors = FieldErrors()
        validate_cluster_ips(service, errors)
        _raise(service, errors)
        if old is not None:
            _shrink(spec, old.get("spec") or {}, errors)
        families = list(spec.get("ipFamilies") or ())
        self._check_policy(spec, families, errors)
        for index, ip in enumerate(spec.get("clusterIPs") or ()):
            if ip == "None" or index < len(families):
                continue
            family = "IPv6" if ":" in ip else "IPv4"
            if family not in self._pools:
                why = f"{family} is not configured on this cluster"
                errors.invalid(_SPEC.child("clusterIPs").index(index), spec["clusterIPs"], why)
            families.append(family)
        _raise(service, errors)
        if not is_free:
            self._check_configured(service, families)
        spec["ipFamilies"] = self._complete(families, spec["ipFamilyPolicy"], is_free=is_free)

    def _check_policy(self, spec: Object, families: list[str], errors: FieldErrors) -> None:
        if spec["ipFamilyPolicy"] != _SINGLE:
            return
        at, why = _SPEC.child("ipFamilyPolicy"), "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        if len(spec.get("clusterIPs") or ()) == 2:
            errors.invalid(at, _SINGLE, f"{why} cluster IPs are specified")
        if len(families) == 2:
            errors.invalid(at, _SINGLE, f"{why} IP families are specified")

    def _check_configured(self, service: Object, families: list[str]) -> None:
        errors = FieldErrors()
        if service["spec"]["ipFamilyPolicy"] == _REQUIRE and len(self._pools) < 2:
            why = "this cluster is not configured for dual-stack services"
            errors.invalid(_SPEC.child("ipFamilyPolicy"), _REQUIRE, why)
        for index, family in enumerate(families):
            if family not in self._pools:
                errors.invalid(_SPEC.child("ipFamilies").index(index), family, "not configured on this cluster")
        _raise(service, errors)

    def _complete(self, families: list[str], policy: str, *, is_free: bool) -> list[str]:
        families = families or [self._default_family]
        wants_two = policy != _SINGLE and (is_free or len(self._pools) == 2)
        if wants_two and len(families) == 1:
            families = [*families, "IPv6" if families[0] == "IPv4" else "IPv4"]
        return families

    # -- addresses and ports

    def _allocate_addresses(self, service: Object, had: set[str | int], taken: set[str | int]) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or (spec.get("clusterIPs") or [""])[0] == "None":
            return
        wanted = list(spec.get("clusterIPs") or ())
        ips: list[str] = []
        for index, family in enumerate(spec["ipFamilies"]):
            ip = wanted[index] if index < len(wanted) else ""
            if not ip:
                ip = self._pick_address(family)
                taken.add(ip)
            elif ip not in had:
                self._claim_address(service, family, ip)
                taken.add(ip)
            ips.append(ip)
        spec["clusterIPs"], spec["clusterIP"] = ips, ips[0]

    def _pick_address(self, family: str) -> str:
        problem = Full("range is full")
        for pool in self._pools_of(family):
            try:
                address = self._pick_from(pool)
            except Full as error:
                problem = error
                continue
            self._take(address)
            return address
        raise InternalError.of(f"failed to allocate a serviceIP: {problem}")

    def _pick_from(self, pool: AddressPool) -> str:
        refused = []
        try:
            while self._is_reserved(address := pool.pick()):
                refused.append(address)
            return address
        finally:
            for one in refused:
                pool.release(one)

    def _claim_address(self, service: Object, family: str, ip: str) -> None:
        pools = self._pools_of(family)
        pool = next((one for one in pools if ip in one), self._pools[family])
        try:
            pool.claim(ip)
            if self._is_reserved(ip):
                pool.release(ip)
                raise Taken("provided IP is already allocated")
        except Taken as error:
            errors = FieldErrors()
            ips = service["spec"]["clusterIPs"]
            errors.invalid(_SPEC.child("clusterIPs"), ips, f"failed to allocate IP {ip}: {error}")
            _raise(service, errors)
        self._take(ip)

    def _allocate_node_ports(self, service: Object, had: set[str | int], taken: set[str | int]) -> None:
        spec = service["spec"]
        if not needs_node_ports(spec):
            return
        by_port: dict[int, int] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            node_port, number = port.get("nodePort") or 0, port.get("port") or 0
            if not node_port and number in by_port:
                # The same port over TCP and UDP is the same node port.
                port["nodePort"] = by_port[number]
                continue
            if node_port and node_port not in had and node_port not in taken:
                self._claim_port(service, index, node_port)
                taken.add(node_port)
            elif not node_port:
                port["nodePort"] = node_port = self._pick_port()
                taken.add(node_port)
            by_port[number] = node_port

    def _claim_port(self, service: Object, index: int, port: int) -> None:
        try:
            self._ports.claim(port)
        except Taken as error:
            errors = FieldErrors()
            errors.invalid(_SPEC.child("ports").index(index).child("nodePort"), port, str(error))
            _raise(service, errors)

    def _pick_port(self) -> int:
        try:
            return self._ports.pick()
        except Full as error:
            raise InternalError.of(f"failed to allocate a nodePort: {error}") from None

    def _allocate_health_check(self, service: Object, had: set[str | int], taken: set[str | int]) -> None:
        spec = service["spec"]
        if not needs_health_check(spec):
            return
        port = spec.get("healthCheckNodePort") or 0
        if not port:
            spec["healthCheckNodePort"] = port = self._pick_port()
            taken.add(port)
        elif port not in had:
            try:
                self._ports.claim(port)
            except Taken as error:
                raise InternalError.of(f"failed to allocate requested HealthCheck NodePort {port}: {error}") from None
            taken.add(port)


def needs_node_ports(spec: Object) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def values_of(service: Object) -> set[str | int]:
    """Every address and port of a Service that was given out by the cluster."""
    spec = service.get("spec") or {}
    values: set[str | int] = set()
    if spec.get("type") != "ExternalName":
        values = {ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"}
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        values |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        values.add(spec["healthCheckNodePort"])
    return values


def _shrink(spec: Object, stored: Object, errors: FieldErrors) -> None:
    """Going from two stacks to one keeps the first of each; leaving one out without saying so is an error."""
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, before = spec.get(key) or [], stored.get(key) or []
        if spec["ipFamilyPolicy"] == _SINGLE:
            if now == before and len(now) > 1:
                spec[key] = now[:1]
        elif len(before) > len(now) > 0 and now[0] == before[0]:
            why = f"must be 'SingleStack' to release the secondary {what}"
            errors.invalid(_SPEC.child("ipFamilyPolicy"), spec["ipFamilyPolicy"], why)


def _raise(service: Object, errors: FieldErrors) -> None:
    if errors:
        raise Invalid.of("", "Service", service["metadata"].get("name", ""), errors.causes)

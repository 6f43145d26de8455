"""A proxy backend that only remembers what it was told; for fake nodes, hosts without nftables, and tests."""

from minikube_py.proxy.backends.protocol import RuleSet


class FakeBackend:
    """Implements ProxyBackend. `applied` holds every rule set, the newest last, but no more than ten."""

    def __init__(self) -> None:
        self.applied: list[RuleSet] = []

    @property
    def rules(self) -> RuleSet:
        return self.applied[-1] if self.applied else RuleSet()

    async def apply(self, rules: RuleSet) -> None:
        self.applied = [*self.applied[-9:], rules]

    async def destroy(self) -> None:
        self.applied.clear()

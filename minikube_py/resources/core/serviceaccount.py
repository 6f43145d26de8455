"""ServiceAccounts: columns; there is nothing to check beyond the metadata."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, number


def row(account: Object) -> list[Any]:
    return [meta.name(account), len(account.get("secrets") or ()), age(account)]


RULES = KindRules(columns=(NAME, number("Secrets", "The number of Secrets the account lists."), AGE), row=row)

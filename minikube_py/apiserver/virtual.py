"""Lists the kinds that are only ever created and never stored: reviews, answered on the spot."""

from minikube_py.apiserver.call import Handler

VIRTUAL: dict[tuple[str, str], Handler] = {}

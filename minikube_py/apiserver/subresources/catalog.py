"""Lists the subresources by (group, resource, subresource), and who answers them. '*' stands for any resource."""

from minikube_py.apiserver.call import Handler
from minikube_py.apiserver.subresources.status import status

SUBRESOURCES: dict[tuple[str, str, str], Handler] = {
    ("*", "*", "status"): status,
}

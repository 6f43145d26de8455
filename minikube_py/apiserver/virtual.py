"""Lists the kinds that are never stored: reviews and bindings, which are created, and metrics, which are read."""

from minikube_py.apiserver.call import Answer, ApiCall, Handler
from minikube_py.apiserver.decoding import decode_object
from minikube_py.apiserver.resource_metrics import read_metrics
from minikube_py.apiserver.subresources.pods_binding import bind_by_name
from minikube_py.apiserver.writes import admission_request, admit, mutate
from minikube_py.objects.errors import UnknownPath


async def review(call: ApiCall) -> Answer:
    """Creates a review: the object comes back with its status."""
    answer_to = call.context.reviews.get((call.info.group, call.info.resource))
    if answer_to is None:
        raise UnknownPath
    body = decode_object(call)
    request = admission_request(call, "CREATE", body, None)
    await mutate(call, request)
    await admit(call, request)
    return Answer(await answer_to(body, call.user, call.info.namespace), code=201)


VIRTUAL: dict[tuple[str, str], Handler] = {
    ("", "bindings"): bind_by_name,
    ("authentication.k8s.io", "selfsubjectreviews"): review,
    ("authentication.k8s.io", "tokenreviews"): review,
    ("authorization.k8s.io", "localsubjectaccessreviews"): review,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): review,
    ("authorization.k8s.io", "selfsubjectrulesreviews"): review,
    ("authorization.k8s.io", "subjectaccessreviews"): review,
}

VIRTUAL_READS: dict[tuple[str, str], Handler] = {
    ("metrics.k8s.io", "nodes"): read_metrics,
    ("metrics.k8s.io", "pods"): read_metrics,
}
"""Kinds that are made up when they are read, by (group, resource)."""

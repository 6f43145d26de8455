"""serviceaccounts/token: issues a token for a service account."""

from minikube_py.apiserver.authn.service_accounts import token_id
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.subresources.bodies import decode_body
from minikube_py.apiserver.writes import admission_request, admit, mutate
from minikube_py.objects.errors import MethodNotAllowed, ServiceUnavailable
from minikube_py.resources.kind import GVK

_ISSUED = "authentication.kubernetes.io/issued-credential-id"
TOKEN_REQUEST = GVK("authentication.k8s.io", "v1", "TokenRequest")


async def token(call: ApiCall) -> Answer:
    """POST a TokenRequest; it comes back with the token in its status."""
    source = call.context.token_source
    if call.info.verb != "create":
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
    if source is None:
        raise ServiceUnavailable("this server issues no tokens")
    request = decode_body(call, TOKEN_REQUEST)
    source.default(request, call.info.namespace, call.info.name)
    admission = admission_request(call, "CREATE", request, None)
    await mutate(call, admission)
    await admit(call, admission)
    issued = source.answer(request, call.info.namespace, call.info.name)
    call.audit_annotations[_ISSUED] = f"JTI={token_id(issued['status']['token'])}"
    return Answer(issued, code=201)

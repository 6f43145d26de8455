"""Answers subresources whose body is the object itself: get, update and patch with a form of their own."""

from minikube_py.apiserver.call import Answer, ApiCall, Handler
from minikube_py.apiserver.patching import patch_with
from minikube_py.apiserver.reads import read_one
from minikube_py.apiserver.updating import update_with
from minikube_py.apiserver.writes import UpdateForm
from minikube_py.objects.errors import MethodNotAllowed


def same_kind(form: UpdateForm) -> Handler:
    """A handler for get, update and patch of the object through `form`."""

    async def handle(call: ApiCall) -> Answer:
        verb = call.info.verb
        if verb == "get":
            record = await read_one(call)
            return Answer(call.context.records.shared(call.kind, record), b"", 200, call.kind)
        if verb == "update":
            return await update_with(call, form)
        if verb == "patch":
            return await patch_with(call, form)
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})

    return handle

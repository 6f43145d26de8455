"""/status: everything but the status and the metadata stays as it was."""

from minikube_py.apiserver.subresources.same_kind import same_kind
from minikube_py.apiserver.writes import STATUS_ONLY

status = same_kind(STATUS_ONLY)

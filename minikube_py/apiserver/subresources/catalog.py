"""Lists the subresources by (group, resource, subresource), and who answers them. '*' stands for any resource."""

from minikube_py.apiserver.call import Handler
from minikube_py.apiserver.subresources.approval import approval
from minikube_py.apiserver.subresources.custom_scale import custom_scale
from minikube_py.apiserver.subresources.ephemeralcontainers import ephemeralcontainers
from minikube_py.apiserver.subresources.finalize import finalize
from minikube_py.apiserver.subresources.pods_binding import bind
from minikube_py.apiserver.subresources.pods_eviction import evict
from minikube_py.apiserver.subresources.pods_exec import attach, run_command
from minikube_py.apiserver.subresources.pods_log import log
from minikube_py.apiserver.subresources.pods_portforward import forward
from minikube_py.apiserver.subresources.proxy import proxy
from minikube_py.apiserver.subresources.resize import resize
from minikube_py.apiserver.subresources.scale import scale
from minikube_py.apiserver.subresources.serviceaccounts_token import token
from minikube_py.apiserver.subresources.status import status

SUBRESOURCES: dict[tuple[str, str, str], Handler] = {
    ("", "namespaces", "finalize"): finalize,
    ("", "nodes", "proxy"): proxy,
    ("", "pods", "attach"): attach,
    ("", "pods", "binding"): bind,
    ("", "pods", "ephemeralcontainers"): ephemeralcontainers,
    ("", "pods", "eviction"): evict,
    ("", "pods", "exec"): run_command,
    ("", "pods", "log"): log,
    ("", "pods", "portforward"): forward,
    ("", "pods", "proxy"): proxy,
    ("", "pods", "resize"): resize,
    ("", "replicationcontrollers", "scale"): scale,
    ("", "serviceaccounts", "token"): token,
    ("", "services", "proxy"): proxy,
    ("apps", "deployments", "scale"): scale,
    ("apps", "replicasets", "scale"): scale,
    ("apps", "statefulsets", "scale"): scale,
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): approval,
    ("*", "*", "scale"): custom_scale,
    ("*", "*", "status"): status,
}

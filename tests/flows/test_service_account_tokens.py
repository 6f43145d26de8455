"""Secrets that hold a service account's token."""

import asyncio
import base64
from pathlib import Path

import pytest

from minikube_py.bootstrap.pki import PkiOptions, ensure_pki
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.controllers.service_account_token import ServiceAccountTokenController
from minikube_py.objects.errors import NotFound, Unauthorized
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR
from tests.support.identity_server import identity_server
from tests.support.virtual_time import virtual_time

SECRETS, ACCOUNTS = GVR("", "v1", "secrets"), GVR("", "v1", "serviceaccounts")
REVIEWS = GVR("authentication.k8s.io", "v1", "selfsubjectreviews")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@virtual_time
async def test_a_secret_is_filled_and_goes_with_its_account(directory: Path) -> None:
    pki = ensure_pki(PkiOptions(directory))
    async with identity_server(pki) as server, asyncio.TaskGroup() as group:
        informers = InformerSet(server.user("system:kube-controller-manager"))
        options = ControllerOptions(root_ca_pem="CA", secret_tokens=server.identity.tokens)
        context = ControllerContext(server.controller, informers, options, server.api.context.registry)
        running = [
            group.create_task(informers.run()),
            group.create_task(run_controller(ServiceAccountTokenController(context), workers=1)),
        ]
        admin = server.admin
        await admin.create(ACCOUNTS, {"metadata": {"name": "app"}}, "default")
        secret = {
            "metadata": {"name": "app-token", "annotations": {"kubernetes.io/service-account.name": "app"}},
            "type": "kubernetes.io/service-account-token",
        }
        await admin.create(SECRETS, secret, "default")
        await asyncio.sleep(1)
        filled = await admin.get(SECRETS, "app-token", "default")
        data = {key: base64.b64decode(value).decode() for key, value in filled["data"].items()}
        assert (data["ca.crt"], data["namespace"]) == ("CA", "default")
        app = await server.bearer(data["token"])
        me = await app.create(REVIEWS, {})
        assert me["status"]["userInfo"]["username"] == "system:serviceaccount:default:app"

        await admin.delete(ACCOUNTS, "app", "default")
        await asyncio.sleep(1)
        with pytest.raises(NotFound):
            await admin.get(SECRETS, "app-token", "default")
        with pytest.raises(Unauthorized):
            await server.bearer(data["token"])
        for task in running:
            task.cancel()

"""Serves the documents with which strangers check service-account tokens: OpenID discovery and the key set.

Source: the service account administration page ("Service account issuer discovery").
"""

import orjson

from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.pipeline import PathHandler
from minikube_py.apiserver.token_issuer import TokenIssuer

CONFIGURATION = "/.well-known/openid-configuration"
KEY_SET = "/openid/v1/jwks"


def openid_paths(tokens: TokenIssuer, server_url: str = "") -> dict[str, PathHandler]:
    """Handlers by path, for Paths.add. server_url is where the key set can be fetched; by default at the issuer's."""

    async def configuration(request: HttpRequest) -> Reply:
        uri = f"{server_url}{KEY_SET}" if server_url else ""
        return Reply(orjson.dumps(tokens.openid_configuration(uri)), headers={"Cache-Control": "public, max-age=3600"})

    async def key_set(request: HttpRequest) -> Reply:
        body = orjson.dumps(tokens.key_set())
        return Reply(body, content_type="application/jwk-set+json", headers={"Cache-Control": "public, max-age=3600"})

    return {CONFIGURATION: configuration, KEY_SET: key_set}

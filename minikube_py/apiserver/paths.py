"""Lists the paths beside the API's resources, and who answers them."""

import orjson

from minikube_py.apiserver.discovery import Discovery
from minikube_py.apiserver.health import Health, Version
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.openapi import OpenApi
from minikube_py.apiserver.pipeline import PathHandler


class Paths:
    """Exact paths first, then the longest prefix; `more` brings what other parts serve, such as the JWKS."""

    def __init__(self, discovery: Discovery, openapi: OpenApi, health: Health, version: Version) -> None:
        self._exact: dict[str, PathHandler] = {
            "/api": discovery.api,
            "/apis": discovery.apis,
            "/openapi/v2": openapi.v2,
            "/openapi/v3": openapi.v3_index,
            "/version": version.answer,
            "/healthz": health.live,
            "/livez": health.live,
            "/readyz": health.ready,
            "/": self._list,
        }
        self._prefixes: dict[str, PathHandler] = {
            "/healthz/": health.live,
            "/livez/": health.live,
            "/openapi/v3/": openapi.v3_document,
            "/readyz/": health.ready,
        }
        self._discovery = discovery

    def add(self, path: str, handler: PathHandler) -> None:
        """Serve a path; one that ends in a slash stands for everything below it."""
        (self._prefixes if path.endswith("/") else self._exact)[path] = handler

    def find(self, path: str) -> PathHandler | None:
        exact = self._exact.get(path.rstrip("/") or "/")
        if exact is not None:
            return exact
        segments = path.strip("/").split("/")
        if (segments[0] == "api" and len(segments) == 2) or (segments[0] == "apis" and len(segments) == 3):
            return self._discovery.version
        if segments[0] == "apis" and len(segments) == 2:
            return self._discovery.group
        matching = [prefix for prefix in self._prefixes if path.startswith(prefix)]
        return self._prefixes[max(matching, key=len)] if matching else None

    async def _list(self, request: HttpRequest) -> Reply:
        return Reply(orjson.dumps({"paths": sorted({*self._exact, *self._prefixes} - {"/"})}))

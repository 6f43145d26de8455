"""Users that somebody else vouches for: an OpenID Connect issuer, and front proxies with their headers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from minikube_py import clock
from minikube_py.apiserver.authn.oidc import OidcOptions, OidcTokens
from minikube_py.apiserver.authn.oidc_keys import REFRESH_SECONDS, IssuerKeys
from minikube_py.apiserver.authn.protocol import Credentials
from minikube_py.apiserver.authn.request_header import RequestHeaderOptions
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.bootstrap import certificates
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.objects.errors import Unauthorized
from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.http_calls import HttpCalls, http_calls
from tests.support.oidc_issuer import OidcIssuer, oidc_issuer
from tests.support.virtual_time import virtual_time

SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(PkiOptions(tmp_path_factory.mktemp("foreign") / "pki"))


@pytest.fixture
async def issuer(pki: Pki) -> AsyncIterator[OidcIssuer]:
    async with oidc_issuer(pki) as running:
        yield running


@pytest.fixture
def later() -> Iterator[Any]:
    def move(**delta: float) -> None:
        moment = clock.now() + timedelta(**delta)
        clock.set_source(moment.timestamp)

    yield move
    clock.reset_source()


def tokens(pki: Pki, issuer: OidcIssuer, **options: Any) -> OidcTokens:
    return OidcTokens(OidcOptions(issuer.url, "mkube", ca_pem=pki.server_ca_pem, **options))


async def user_of(authenticator: OidcTokens, token: str) -> UserInfo | None:
    answer = await authenticator.authenticate(Credentials({}, bearer_token=token))
    return answer.user if answer is not None else None


async def refusal(authenticator: OidcTokens, token: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        await user_of(authenticator, token)
    return str(refused.value.message)


async def test_nothing_is_fetched_before_the_first_token_and_then_once(pki: Pki, issuer: OidcIssuer) -> None:
    authenticator = tokens(pki, issuer)
    assert await user_of(authenticator, "not.a.token") is None
    assert await user_of(authenticator, issuer.token(iss="https://elsewhere")) is None
    assert not issuer.requests
    first = await asyncio.gather(*(user_of(authenticator, issuer.token(jti=str(n))) for n in range(5)))
    assert {user.name for user in first if user is not None} == {"alice"}
    assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]


async def test_claims_become_names_groups_and_prefixes(pki: Pki, issuer: OidcIssuer) -> None:
    plain = tokens(pki, issuer, username_claim="email", groups_claim="roles")
    token = issuer.token(email="a@example.com", email_verified=True, roles=["dev", "ops"])
    assert await user_of(plain, token) == UserInfo("a@example.com", groups=("dev", "ops"))
    assert await user_of(plain, issuer.token(email="a@example.com", roles="dev")) == UserInfo(
        "a@example.com", groups=("dev",)
    )
    assert await refusal(plain, issuer.token(email="a@example.com", email_verified=False)) == "oidc: email not verified"
    assert "not present in ID token" in await refusal(plain, issuer.token())
    assert "neither a string nor a list" in await refusal(plain, issuer.token(email="a", roles=[1]))
    prefixed = tokens(pki, issuer, username_prefix="oidc:", groups_prefix="oidc-", groups_claim="groups")
    assert await user_of(prefixed, issuer.token(groups=["x"])) == UserInfo("oidc:alice", groups=("oidc-x",))
    required = tokens(pki, issuer, required_claims={"hd": "example.com"})
    assert await user_of(required, issuer.token(hd="example.com")) == UserInfo("alice")
    assert "Got = other, want = example.com" in await refusal(required, issuer.token(hd="other"))
    assert 'required claim "hd" not present' in await refusal(required, issuer.token())


async def test_bad_tokens_are_told_why(pki: Pki, issuer: OidcIssuer, later: Any) -> None:
    authenticator = tokens(pki, issuer)
    assert (
        await refusal(authenticator, issuer.token(aud=["a", "b"])) == 'oidc: expected audience "mkube" got ["a", "b"]'
    )
    assert await refusal(authenticator, issuer.token(exp=int(clock.seconds()) - 1)) == "oidc: token is expired"
    assert "claim exp is not a number" in await refusal(authenticator, issuer.token(exp="soon"))
    assert "not valid yet" in await refusal(authenticator, issuer.token(nbf=int(clock.seconds()) + 900))
    issuer.add_key("curve", is_elliptic=True)
    assert "signed with ES256, but RS256 is expected" in await refusal(
        authenticator, issuer.token("curve", algorithm="ES256")
    )
    both = tokens(pki, issuer, signing_algorithms=("RS256", "ES256"))
    assert await user_of(both, issuer.token("curve", algorithm="ES256")) == UserInfo("alice")
    good = issuer.token()
    assert await user_of(authenticator, good) == UserInfo("alice")
    later(hours=2)
    assert await refusal(authenticator, good) == "oidc: token is expired"


@virtual_time
async def test_new_keys_are_fetched_and_forged_ones_do_not_flood_the_issuer() -> None:
    issuer = OidcIssuer("https://issuer.example")
    authenticator = OidcTokens(OidcOptions(issuer.url, "mkube"), IssuerKeys(issuer.url, fetch=issuer.fetch))
    assert await user_of(authenticator, issuer.token()) == UserInfo("alice")
    await asyncio.sleep(REFRESH_SECONDS + 1)
    issuer.add_key("second")
    assert await user_of(authenticator, issuer.token("second")) == UserInfo("alice")
    asked = len(issuer.requests)
    stranger = OidcIssuer(issuer.url)
    for number in range(5):
        assert "failed to verify the token's signature" in await refusal(authenticator, stranger.token(jti=str(number)))
    assert len(issuer.requests) == asked
    await asyncio.sleep(REFRESH_SECONDS + 1)
    assert "failed to verify" in await refusal(authenticator, stranger.token(jti="later"))
    assert len(issuer.requests) == asked + 2


async def test_an_issuer_that_cannot_be_reached_is_named(pki: Pki, issuer: OidcIssuer) -> None:
    issuer.is_down = True
    configuration = f"{issuer.url}/.well-known/openid-configuration"
    authenticator = tokens(pki, issuer)
    assert await refusal(authenticator, issuer.token()) == f"oidc: {configuration} answers 503"
    assert await refusal(authenticator, issuer.token(jti="2")) == f"oidc: {configuration} answers 503"
    assert len(issuer.requests) == 1
    issuer.is_down, issuer.named_issuer = False, "https://other"
    assert "is of the issuer https://other" in await refusal(tokens(pki, issuer), issuer.token())
    untrusted = OidcTokens(OidcOptions(issuer.url, "mkube", ca_pem=pki.client_ca_pem))
    assert "can't be reached" in await refusal(untrusted, issuer.token())


async def test_oidc_users_are_users_of_the_server(pki: Pki, issuer: OidcIssuer) -> None:
    options = OidcOptions(issuer.url, "mkube", username_prefix="oidc:", groups_claim="groups", ca_pem=pki.server_ca_pem)
    async with https_cluster(pki.directory.parent, oidc=options) as cluster, http_calls(cluster) as http:
        token = issuer.token(groups=["devs"])
        forbidden = await http("GET", MAPS, token=token)
        assert forbidden.code == 403
        assert 'User "oidc:alice" cannot list resource "configmaps"' in forbidden.message
        subject = {"kind": "Group", "name": "devs", "apiGroup": "rbac.authorization.k8s.io"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
        bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
        await http("POST", bindings, {"metadata": {"name": "devs"}, "roleRef": role, "subjects": [subject]})
        assert (await http("GET", MAPS, token=token)).code == 200
        me = await http("POST", SELF, {}, token=token)
        assert me.json["status"]["userInfo"] == {"username": "oidc:alice", "groups": ["devs", "system:authenticated"]}
        review = await http("POST", REVIEWS, {"spec": {"token": token}})
        assert review.json["status"] == {
            "authenticated": True,
            "user": {"username": "oidc:alice", "groups": ["devs", "system:authenticated"]},
            "audiences": ["https://kubernetes.default.svc.cluster.local"],
        }
        other = await http("POST", REVIEWS, {"spec": {"token": token, "audiences": ["elsewhere"]}})
        assert other.json["status"] == {"user": {}, "error": "token is not valid for the requested audiences"}
        expired = await http("GET", MAPS, token=issuer.token(exp=1))
        assert (expired.code, expired.message) == (401, "oidc: token is expired")


# --- front proxies ---------------------------------------------------------------------------------------------------


async def as_proxy(cluster: HttpsCluster, authority: str, name: str, headers: list[tuple[str, str]]) -> tuple[int, Any]:
    """SelfSubjectReview over a connection with a certificate of `authority` for the common name `name`."""
    pki = cluster.pki
    key = certificates.make_key()
    wanted = certificates.LeafRequest(name, (), (), ("client",), timedelta(hours=1))
    leaf = certificates.sign_leaf(pki.authority(authority), key.public_key(), wanted)
    directory = pki.directory.parent / f"{authority}-{name}"
    directory.mkdir(exist_ok=True)
    (directory / "tls.crt").write_bytes(certificates.to_pem(leaf))
    (directory / "tls.key").write_bytes(certificates.key_to_pem(key))
    context = ssl.create_default_context(cadata=pki.server_ca_pem.decode())
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(cluster.url + SELF, json={}, headers=headers) as response:
            return response.status, await response.json()


async def test_front_proxies_say_who_asks(pki: Pki) -> None:
    options = RequestHeaderOptions(pki.request_header_ca_pem)
    headers = [
        ("X-Remote-User", "alice"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "devs"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-Acme.com%2Fproject", "p1"),
        ("X-Remote-Extra-Acme.com%2Fproject", "p2"),
    ]
    async with https_cluster(pki.directory.parent, request_header=options) as cluster:
        code, review = await as_proxy(cluster, "request-header-ca", "front-proxy-client", headers)
        assert code == 201
        assert review["status"]["userInfo"] == {
            "username": "alice",
            "uid": "7",
            "groups": ["devs", "ops", "system:authenticated"],
            "extra": {"acme.com/project": ["p1", "p2"]},
        }
        code, refused = await as_proxy(cluster, "request-header-ca", "somebody", headers)
        assert (code, refused["message"]) == (401, "x509: subject with cn=somebody is not in the allowed list")
        code, _ = await as_proxy(cluster, "request-header-ca", "front-proxy-client", [])
        assert code == 401
        # A client's own certificate makes nobody a proxy: the headers mean nothing then.
        code, review = await as_proxy(cluster, "client-ca", "front-proxy-client", headers)
        assert review["status"]["userInfo"]["username"] == "front-proxy-client"
        async with http_calls(cluster) as http:
            plain = await HttpCalls(http.session, cluster)("POST", SELF, {}, headers=dict(headers))
            assert plain.json["status"]["userInfo"]["username"] == "system:admin"
            assert (await http("GET", MAPS, token="", headers=dict(headers))).code == 401

import base64
import ssl
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from minikube_py import clock
from minikube_py.apiserver.anonymous import anonymous_user
from minikube_py.apiserver.authn.catalog import AuthenticationOptions, UnionAuthenticator, build_authenticator
from minikube_py.apiserver.authn.protocol import Credentials
from minikube_py.apiserver.authn.service_accounts import (
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    ServiceAccountTokens,
    TokenTrust,
)
from minikube_py.apiserver.authn.static_tokens import StaticTokens
from minikube_py.apiserver.authn.token_keys import TokenKeys
from minikube_py.apiserver.token_issuer import TokenIssuer
from minikube_py.bootstrap.join import make_bootstrap_token, token_secret
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.objects.errors import BadRequest, Conflict, Invalid, NotFound, Unauthorized
from tests.support.object_reader import DictReader

ISSUER = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(PkiOptions(tmp_path_factory.mktemp("authn")))


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.add(SERVICE_ACCOUNTS, {"metadata": {"name": "app", "namespace": "web"}})
    reader.add(NODES, {"metadata": {"name": "n1"}})
    spec = {"serviceAccountName": "app", "nodeName": "n1"}
    reader.add(PODS, {"metadata": {"name": "p", "namespace": "web"}, "spec": spec})
    reader.add(SECRETS, {"metadata": {"name": "s", "namespace": "web"}})
    return reader


@pytest.fixture
def trust(pki: Pki) -> TokenTrust:
    return TokenTrust(TokenKeys(pki.service_account_keys()))


@pytest.fixture
def issuer(trust: TokenTrust, reader: DictReader) -> TokenIssuer:
    return TokenIssuer(trust, reader)


@pytest.fixture
def union(pki: Pki, trust: TokenTrust, reader: DictReader) -> UnionAuthenticator:
    return build_authenticator(AuthenticationOptions(reader, trust, pki.client_ca_pem, pki.token_file))


@pytest.fixture
def later():
    def move(**delta: float) -> None:
        moment = clock.seconds() + timedelta(**delta).total_seconds()
        clock.set_source(lambda: moment)

    yield move
    clock.reset_source()


def bearer(token: str) -> Credentials:
    return Credentials({}, bearer_token=token)


def der(pem: bytes) -> bytes:
    text = pem.decode()
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)] + "\n")


async def test_a_client_certificate_names_user_and_groups(pki: Pki, union: UnionAuthenticator, later) -> None:
    credentials = Credentials({}, peer_certificate=der(pki.certificate_path("admin").read_bytes()))
    answer = await union.authenticate(credentials)
    assert answer.user.name == "system:admin"
    assert answer.user.groups == ("system:masters", "system:authenticated")
    later(days=400)
    with pytest.raises(Unauthorized, match="expired"):
        await union.authenticate(credentials)


@pytest.mark.parametrize("name", ["front-proxy", "server"])
async def test_certificates_of_other_authorities_are_nobody(pki: Pki, union: UnionAuthenticator, name: str) -> None:
    certificate = der(pki.certificate_path(name).read_bytes())
    assert await union.authenticate(Credentials({}, peer_certificate=certificate)) is None


async def test_the_admin_token(pki: Pki, union: UnionAuthenticator) -> None:
    answer = await union.authenticate(bearer(pki.admin_token))
    assert answer.user.name == "system:admin"
    assert "system:masters" in answer.user.groups
    with pytest.raises(Unauthorized):
        await union.authenticate(bearer(pki.admin_token + "x"))


async def test_no_credential_is_anonymous_on_public_paths_only(union: UnionAuthenticator) -> None:
    assert await union.authenticate(Credentials({})) is None
    assert anonymous_user("/readyz").name == "system:anonymous"
    assert anonymous_user("/version", "POST") is None
    assert anonymous_user("/api") is None
    assert anonymous_user("/readyz/etcd") is None


async def test_a_pod_token_is_good_while_pod_and_account_are(
    issuer: TokenIssuer, union: UnionAuthenticator, reader: DictReader, later
) -> None:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-p"}
    request = issuer.answer({"spec": {"boundObjectRef": reference, "expirationSeconds": 600}}, "web", "app")
    token = request["status"]["token"]
    user = (await union.authenticate(bearer(token))).user
    assert user.name == "system:serviceaccount:web:app"
    assert user.uid == "uid-app"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    reader.objects[PODS, "web", "p"]["metadata"]["uid"] = "another"
    with pytest.raises(Unauthorized):
        await union.authenticate(bearer(token))
    reader.objects[PODS, "web", "p"]["metadata"]["uid"] = "uid-p"
    later(seconds=601)
    with pytest.raises(Unauthorized, match="expired"):
        await union.authenticate(bearer(token))


async def test_deleting_objects_get_a_minute(issuer: TokenIssuer, union: UnionAuthenticator, reader, later) -> None:
    token = issuer.answer({}, "web", "app")["status"]["token"]
    reader.objects[SERVICE_ACCOUNTS, "web", "app"]["metadata"]["deletionTimestamp"] = clock.rfc3339()
    assert await union.authenticate(bearer(token))
    later(seconds=62)
    with pytest.raises(Unauthorized, match="invalidated"):
        await union.authenticate(bearer(token))


async def test_tampered_and_foreign_tokens(issuer: TokenIssuer, union: UnionAuthenticator, trust: TokenTrust) -> None:
    token = issuer.answer({}, "web", "app")["status"]["token"]
    head, payload, signature = token.split(".")
    for bad in (
        f"{head}.{payload}.{signature[:-4]}AAAA",
        jwt.encode({"iss": ISSUER, "sub": "x"}, "k" * 32, algorithm="HS256"),
        jwt.encode({"iss": ISSUER, "sub": "x"}, None, algorithm="none"),
        jwt.encode({"iss": "https://elsewhere"}, "k" * 32, algorithm="HS256"),
        "a.b.c",
    ):
        with pytest.raises(Unauthorized):
            await union.authenticate(bearer(bad))


def test_audiences(issuer: TokenIssuer, trust: TokenTrust, reader: DictReader) -> None:
    token = issuer.answer({"spec": {"audiences": ["vault"]}}, "web", "app")["status"]["token"]
    tokens = ServiceAccountTokens(trust, reader)
    with pytest.raises(Unauthorized, match=r'token audiences \["vault"\] is invalid for the target audiences'):
        tokens.authenticate_token(token)
    assert tokens.authenticate_token(token, ["vault", "other"]).audiences == ("vault",)


def test_the_default_projected_token_lives_a_year_and_warns_after_an_hour(issuer: TokenIssuer) -> None:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    answer = issuer.answer({"spec": {"boundObjectRef": reference, "expirationSeconds": 3607}}, "web", "app")
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert claims["kubernetes.io"]["node"] == {"name": "n1", "uid": "uid-n1"}
    left = clock.parse(answer["status"]["expirationTimestamp"]) - clock.now()
    assert timedelta(seconds=3600) < left <= timedelta(seconds=3607)
    assert answer["spec"]["audiences"] == [ISSUER]


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"expirationSeconds": 599}, Invalid, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": (1 << 32) + 1}, Invalid, r"larger than 2\^32 seconds"),
        ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, NotFound, 'pods "none" not found'),
        ({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "x"}}, Conflict, "UID in the bound object reference"),
        ({"boundObjectRef": {"kind": "ConfigMap", "name": "p"}}, BadRequest, "cannot bind token to object of type"),
    ],
)
def test_requests_that_are_refused(issuer: TokenIssuer, spec: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        issuer.answer({"spec": spec}, "web", "app")


async def test_tokens_of_secrets(issuer: TokenIssuer, union: UnionAuthenticator, reader: DictReader) -> None:
    account, secret = reader.objects[SERVICE_ACCOUNTS, "web", "app"], reader.objects[SECRETS, "web", "s"]
    token = issuer.issue_for_secret(account, secret)
    with pytest.raises(Unauthorized, match="does not match server's copy"):
        await union.authenticate(bearer(token))
    secret["data"] = {"token": base64.b64encode(token.encode()).decode()}
    assert (await union.authenticate(bearer(token))).user.name == "system:serviceaccount:web:app"
    reader.remove(SECRETS, "s", "web")
    with pytest.raises(Unauthorized, match="invalidated"):
        await union.authenticate(bearer(token))


def test_discovery_documents_let_a_stranger_check_a_token(issuer: TokenIssuer) -> None:
    token = issuer.answer({}, "web", "app")["status"]["token"]
    [key] = issuer.key_set()["keys"]
    assert issuer.openid_configuration()["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
    claims = jwt.decode(token, jwt.PyJWK(key).key, algorithms=[key["alg"]], audience=ISSUER)
    assert claims["sub"] == "system:serviceaccount:web:app"
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]


async def test_bootstrap_tokens_say_what_is_wrong(union: UnionAuthenticator, reader: DictReader, later) -> None:
    token_id, secret = make_bootstrap_token()
    reader.add(SECRETS, token_secret(token_id, secret))
    user = (await union.authenticate(bearer(f"{token_id}.{secret}"))).user
    assert user.name == f"system:bootstrap:{token_id}"
    assert "system:bootstrappers" in user.groups
    assert "system:bootstrappers:kubeadm:default-node-token" in user.groups
    with pytest.raises(Unauthorized, match="not known here"):
        await union.authenticate(bearer(f"{token_id}.{'0' * 16}"))
    with pytest.raises(Unauthorized, match="not known here"):
        await union.authenticate(bearer(f"zzzzzz.{secret}"))
    later(hours=1.1)
    with pytest.raises(Unauthorized, match="expired at"):
        await union.authenticate(bearer(f"{token_id}.{secret}"))


def test_token_file_with_a_short_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text("abc,user\n")
    with pytest.raises(ValueError, match="line 1"):
        StaticTokens.from_file(path)


def test_credentials_do_not_show_themselves() -> None:
    shown = repr(Credentials({"authorization": "Bearer s3cret"}, b"s3cret", "s3cret"))
    assert "s3cret" not in shown

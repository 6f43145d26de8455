import pytest

from minikube_py.apiserver.authn.catalog import UnionAuthenticator
from minikube_py.apiserver.authn.static_tokens import StaticTokens
from minikube_py.apiserver.authz.reviews import Reviews
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import BadRequest, Invalid
from tests.support.identity import binding, default_authorization, user
from tests.support.object_reader import DictReader

API = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture(scope="module")
def reviews() -> Reviews:
    authorization = default_authorization(DictReader())
    jane = {"kind": "User", "name": "jane"}
    authorization.rbac.observe("rolebindings", binding("RoleBinding", "jane", ("ClusterRole", "view"), jane, "web"))
    tokens = UnionAuthenticator([StaticTokens({"t": UserInfo("jane", uid="1", groups=("dev",))})], [API])
    return Reviews(authorization.union, tokens.authenticate_token)


def attributes(verb: str, resource: str, namespace: str = "web") -> dict:
    return {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace}}


async def test_token_review(reviews: Reviews) -> None:
    admin = user("root", "system:masters")
    known = await reviews.token_review({"spec": {"token": "t"}}, admin, "")
    assert known["status"] == {
        "authenticated": True,
        "user": {"username": "jane", "uid": "1", "groups": ["dev", "system:authenticated"]},
        "audiences": [API],
    }
    unknown = await reviews.token_review({"spec": {"token": "x"}}, admin, "")
    assert unknown["status"] == {"user": {}}
    elsewhere = await reviews.token_review({"spec": {"token": "t", "audiences": ["vault"]}}, admin, "")
    assert "authenticated" not in elsewhere["status"]
    with pytest.raises(BadRequest, match="token is required for TokenReview in authentication"):
        await reviews.token_review({"spec": {}}, admin, "")


async def test_access_reviews(reviews: Reviews) -> None:
    nobody, jane = user("nobody"), user("jane")
    yes = await reviews.self_subject_access_review({"spec": attributes("list", "pods")}, jane, "")
    assert yes["status"]["allowed"] is True
    no = await reviews.self_subject_access_review({"spec": attributes("delete", "pods")}, jane, "")
    assert no["status"] == {"allowed": False}
    spec = attributes("list", "pods") | {"user": "jane"}
    assert (await reviews.subject_access_review({"spec": spec}, nobody, ""))["status"]["allowed"]
    assert (await reviews.local_subject_access_review({"spec": spec}, nobody, "web"))["status"]["allowed"]
    with pytest.raises(BadRequest, match=r"spec.resourceAttributes.namespace must match namespace: other"):
        await reviews.local_subject_access_review({"spec": spec}, nobody, "other")
    url = {"nonResourceAttributes": {"path": "/version", "verb": "get"}}
    assert (await reviews.self_subject_access_review({"spec": url}, jane, ""))["status"]["allowed"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"user": "x"}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            attributes("get", "pods") | {"user": "x", "nonResourceAttributes": {"path": "/"}},
            "cannot be specified in combination with resourceAttributes",
        ),
        (attributes("get", "pods"), "at least one of user or group must be specified"),
    ],
)
async def test_malformed_reviews(reviews: Reviews, spec: dict, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await reviews.subject_access_review({"spec": spec}, user("x"), "")


async def test_rules_and_self(reviews: Reviews) -> None:
    rules = await reviews.self_subject_rules_review({"spec": {"namespace": "web"}}, user("jane"), "")
    status = rules["status"]
    assert {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["namespaces"]} in status[
        "resourceRules"
    ]
    assert any("/api/*" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    assert status["incomplete"] is False
    node = user("system:node:a", "system:nodes")
    assert (await reviews.self_subject_rules_review({"spec": {"namespace": "web"}}, node, ""))["status"]["incomplete"]
    me = await reviews.self_subject_review({}, user("jane", "dev"), "")
    assert me["status"] == {"userInfo": {"username": "jane", "groups": ["dev", "system:authenticated"]}}

"""Trust bundles, and certificates for pods: what may be asked for and what is an answer."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from minikube_py import clock
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors
from tests.unit.resources.checking import create_errors, kind_of

BUNDLES, REQUESTS = "clustertrustbundles.certificates.k8s.io", "podcertificaterequests.certificates.k8s.io"
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def now() -> Iterator[None]:
    clock.set_source(NOW.timestamp)
    yield
    clock.reset_source()


def certificate(*, is_authority: bool = False, key: Any = KEY, start: datetime = NOW, hours: float = 2) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(hours=hours))
    builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def stub(key: Any = KEY) -> str:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    return base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode()


def bundle(roots: str, name: str = "b", signer: str = "") -> Object:
    return {"metadata": {"name": name}, "spec": {"trustBundle": roots, **({"signerName": signer} if signer else {})}}


# -- trust bundles

CA = certificate(is_authority=True)


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (bundle(CA), []),
        (bundle(f"one\n{CA}two\n{certificate(is_authority=True)}three"), []),
        (bundle(CA, "example.com:s:b", "example.com/s"), []),
        (bundle(CA, "b", "example.com/s"), ["must be named with prefix example.com:s:"]),
        (bundle(CA, "example.com:s:b"), ['must not have ":" in its name']),
        (bundle(CA, "example:s:b", "example/s"), ["should be a domain with at least two segments"]),
        (bundle(""), ["at least one trust anchor must be provided"]),
        (bundle("nothing"), ["at least one trust anchor must be provided"]),
        (bundle(CA + CA), ["duplicate trust anchor (indices [0 1])"]),
        (bundle(CA + certificate()), ["entry 1 does not have the CA bit set"]),
        (bundle(CA.replace("CERTIFICATE", "CERTIFICATE REQUEST")), ["entry 0 has bad block type: CERTIFICATE REQUEST"]),
        (bundle(CA.replace("-----\n", "-----\na: b\n\n", 1)), ["entry 0 has PEM block headers"]),
        (bundle("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), ["entry 0 does not parse as X.509"]),
        (bundle("x" * (1024 * 1024 + 1)), ["Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_trust_bundles(made: Object, wrong: list[str]) -> None:
    found = create_errors(BUNDLES, made)
    assert len(found) == len(wrong), found
    assert all(text in problem for text, problem in zip(wrong, found, strict=True)), found


def test_a_bundles_anchors_are_looked_at_when_they_change() -> None:
    rules = kind_of(BUNDLES).rules

    def changed(new: Object, old: Object) -> list[str]:
        errors = FieldErrors()
        rules.validate(new, errors)
        rules.validate_update(new, old, errors)
        return [cause.field for cause in errors.causes]

    assert changed(bundle("from before"), bundle("from before")) == []
    assert changed(bundle("new"), bundle("from before")) == ["spec.trustBundle"]
    assert changed(bundle(CA, "a.b:s:b", "a.b/s"), bundle(CA, "a.b:s:b")) == ["spec.signerName"]


# -- certificates for pods


def request(**spec: Any) -> Object:
    uid = "12345678-1234-1234-1234-123456789012"
    return {
        "metadata": {"name": "r", "namespace": "default"},
        "spec": {
            "signerName": "example.com/s",
            "podName": "p",
            "podUID": uid,
            "serviceAccountName": "default",
            "serviceAccountUID": uid,
            "nodeName": "n",
            "nodeUID": uid,
            "stubPKCS10Request": stub(),
            **spec,
        },
    }


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 3072),
    ],
    ids=["P384", "P521", "Ed25519", "RSA3072"],
)
def test_keys_that_pods_may_have(key: Any) -> None:
    assert create_errors(REQUESTS, request(stubPKCS10Request=stub(key))) == []


def test_the_longest_life_is_a_day_when_nothing_is_said() -> None:
    made = request()
    kind_of(REQUESTS).rules.default(made)
    assert made["spec"]["maxExpirationSeconds"] == 86400


@pytest.mark.parametrize(
    ("spec", "field", "why"),
    [
        ({"signerName": "none"}, "signerName", "must be a fully qualified domain and path"),
        ({"podName": "A"}, "podName", "lowercase RFC 1123 subdomain"),
        ({"podUID": ""}, "podUID", "must not be empty"),
        ({"nodeUID": "x" * 129}, "nodeUID", "Too long"),
        ({"maxExpirationSeconds": 3599}, "maxExpirationSeconds", "must be in the range [3600, 7862400]"),
        ({"maxExpirationSeconds": 7862401}, "maxExpirationSeconds", "must be in the range [3600, 7862400]"),
        (
            {"signerName": "kubernetes.io/s", "maxExpirationSeconds": 86401},
            "maxExpirationSeconds",
            "must be in the range [3600, 86400]",
        ),
        ({"unverifiedUserAnnotations": {"a": "b"}}, "unverifiedUserAnnotations", "domain-prefixed path"),
        ({"stubPKCS10Request": ""}, "stubPKCS10Request", "Required value"),
        ({"stubPKCS10Request": "AAAA"}, "stubPKCS10Request", "valid PKCS#10"),
        (
            {"stubPKCS10Request": stub(rsa.generate_private_key(65537, 2048))},
            "stubPKCS10Request",
            "RSA keys must have modulus size 3072 or 4096",
        ),
        (
            {"stubPKCS10Request": stub(ec.generate_private_key(ec.SECP256K1()))},
            "stubPKCS10Request",
            "must use curve P256, P384 or P521",
        ),
        ({"stubPKCS10Request": stub(dsa.generate_private_key(2048))}, "stubPKCS10Request", "must contain a public key"),
        ({"stubPKCS10Request": base64.b64encode(bytes(10241)).decode()}, "stubPKCS10Request", "Too long"),
    ],
)
def test_what_pods_may_not_ask_for(spec: dict[str, Any], field: str, why: str) -> None:
    (found,) = create_errors(REQUESTS, request(**spec))
    assert found.startswith(f"spec.{field}: ")
    assert why in found


def tampered() -> str:
    data = bytearray(base64.b64decode(stub()))
    data[-1] ^= 1
    return base64.b64encode(bytes(data)).decode()


def test_requests_are_signed_with_their_own_key() -> None:
    (found,) = create_errors(REQUESTS, request(stubPKCS10Request=tampered()))
    assert "must be signed with the key that is in it" in found


def condition(type_: str, status: str = "True") -> Object:
    return {"type": type_, "status": status, "reason": "R", "message": "m", "lastTransitionTime": clock.rfc3339(NOW)}


def issued(chain: str = "", **changes: Any) -> Object:
    times = {"notBefore": NOW, "notAfter": NOW + timedelta(hours=2), "beginRefreshAt": NOW + timedelta(hours=1)}
    status = {key: clock.rfc3339(moment) for key, moment in times.items()}
    return {"conditions": [condition("Issued")], "certificateChain": chain or certificate(), **status, **changes}


def told(status: Object, before: Object | None = None, **spec: Any) -> list[str]:
    old = request(maxExpirationSeconds=86400, **spec) | {"status": before or {}}
    errors = FieldErrors()
    kind_of(REQUESTS).rules.validate_status({**old, "status": status}, old, errors)
    return [f"{cause.field}: {cause.message}" for cause in errors.causes]


@pytest.mark.parametrize(
    "status",
    [
        issued(),
        issued(certificate() + CA),
        {"conditions": [condition("Denied")]},
        {"conditions": [condition("Failed")]},
    ],
)
def test_answers(status: Object) -> None:
    assert told(status) == []
    assert told(status, status) == []
    later = {**status, "conditions": [{**status["conditions"][0], "message": "other"}]}
    assert told(later, status) == [
        "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
    ]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"certificateChain": CA}, "status is immutable unless transitioning"),
        ({"conditions": [condition("Odd")]}, 'supported values: "Denied", "Failed", "Issued"'),
        ({"conditions": [condition("Denied", "False")]}, 'supported values: "True"'),
        ({"conditions": [condition("Denied"), condition("Failed")]}, "There may be at most one condition"),
        (issued(conditions=[condition("Denied")]), "non-condition status fields must be empty"),
        (issued("text"), "must contain at least one certificate"),
        (issued(certificate(key=ec.generate_private_key(ec.SECP256R1()))), "not issued to the requested public key"),
        (issued(certificate() + CA.replace("CERTIFICATE", "OTHER")), "must consist entirely of CERTIFICATE"),
        (issued(notBefore=None), "must be present and consistent"),
        (issued(notAfter=clock.rfc3339(NOW)), "must be set to the NotAfter time encoded"),
        (
            issued(certificate(start=NOW - timedelta(hours=1)), notBefore="2026-01-31T11:00:00Z"),
            "NotAfter time encoded",
        ),
        (issued(beginRefreshAt=clock.rfc3339(NOW)), "at least 10 minutes after status.notBefore"),
        (issued(beginRefreshAt="2026-01-31T13:55:00Z"), "at least 10 minutes before status.notAfter"),
        (
            issued(certificate(hours=0.5), notAfter="2026-01-31T12:30:00Z", beginRefreshAt="2026-01-31T12:15:00Z"),
            "lifetime must be >= 1 hour",
        ),
        (issued(certificate(hours=25), notAfter="2026-02-01T13:00:00Z"), "must be <= spec.maxExpirationSeconds"),
        (
            issued(
                certificate(start=NOW - timedelta(hours=1)),
                notBefore="2026-01-31T11:00:00Z",
                notAfter="2026-01-31T13:00:00Z",
                beginRefreshAt="2026-01-31T12:00:00Z",
            ),
            "within 5 minutes",
        ),
    ],
)
def test_what_is_no_answer(status: Object, why: str) -> None:
    found = told(status)
    assert found
    assert why in found[0], found

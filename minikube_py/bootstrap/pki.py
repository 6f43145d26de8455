"""Keeps the cluster's authorities, certificates, signing key and admin token on disk, made once and renewed early.

Everything is under one directory (mode 0700, files 0600). `index.json` records each leaf's dates and names, so that a
start that finds nothing to renew reads a few small files and loads no X.509 library.
"""

import asyncio
import hashlib
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minikube_py import clock, ids
from minikube_py.bootstrap.private_files import close_to_others, make_private_directory, write_private

if TYPE_CHECKING:
    from minikube_py.bootstrap import certificates

AUTHORITY_LIFETIME = timedelta(days=20 * 365)
LEAF_LIFETIME = timedelta(days=365)
RENEW_AT = 0.5
FIXED_NAMES = ("mkube", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
FIXED_ADDRESSES = ("127.0.0.1", "::1")
AUTHORITIES = {
    "server-ca": "mkube-server-ca",
    "client-ca": "mkube-client-ca",
    "request-header-ca": "mkube-request-header-ca",
}
ADMIN_USER = "system:admin"
ADMIN_GROUP = "system:masters"


@dataclass(frozen=True)
class PkiOptions:
    """Where the files are and which names the server answers to. Names come from here alone, never from requests."""

    directory: Path
    service_ip: str = "10.43.0.1"
    cluster_domain: str = "cluster.local"
    tls_sans: Sequence[str] = ()

    @property
    def server_names(self) -> list[str]:
        names = [*FIXED_NAMES, f"kubernetes.default.svc.{self.cluster_domain}", *FIXED_ADDRESSES]
        return list(dict.fromkeys([*names, self.service_ip, *self.tls_sans]))


@dataclass(frozen=True)
class _Leaf:
    """How one certificate file on disk is made."""

    name: str
    authority: str
    common_name: str
    organizations: tuple[str, ...]
    names: tuple[str, ...]
    usages: tuple[str, ...]


class Pki:
    """The files of one cluster. Paths are stable; contents of leaves change when they are renewed."""

    def __init__(self, options: PkiOptions) -> None:
        self.options = options
        self.directory = options.directory
        self._index: dict[str, dict[str, Any]] = {}

    # -- paths and contents

    def certificate_path(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key_path(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    @property
    def server_ca_pem(self) -> bytes:
        return self.certificate_path("server-ca").read_bytes()

    @property
    def client_ca_pem(self) -> bytes:
        return self.certificate_path("client-ca").read_bytes()

    @property
    def request_header_ca_pem(self) -> bytes:
        return self.certificate_path("request-header-ca").read_bytes()

    @property
    def server_ca_hash(self) -> str:
        """What a join token carries to know this cluster by."""
        return certificate_hash(self.server_ca_pem)

    @property
    def token_file(self) -> Path:
        """Static tokens in Kubernetes' CSV form: token,user,uid,"group1,group2"."""
        return self.directory / "tokens.csv"

    @property
    def admin_token(self) -> str:
        return self.token_file.read_text().split(",", 1)[0]

    def service_account_keys(self) -> list[bytes]:
        """PEM private keys: the first signs, all verify (an older one may stay as `service-account-*.key`)."""
        first = self.key_path("service-account")
        others = sorted(p for p in self.directory.glob("service-account-*.key"))
        return [p.read_bytes() for p in (first, *others)]

    # -- what the server does with them

    def server_ssl_context(self, proxy_authorities: bytes = b"") -> ssl.SSLContext:
        """For the API listener: TLS 1.2 or newer, client certificates welcome but not needed.

        proxy_authorities: PEM certificates of those who sign front proxies' certificates, beside mkube's own.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(
            cadata=(self.client_ca_pem + self.request_header_ca_pem + proxy_authorities).decode()
        )
        self.load_server_certificate(context)
        return context

    def load_server_certificate(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self.certificate_path("server"), self.key_path("server"))

    def seconds_to_renewal(self) -> float:
        """How long until the first leaf has used up half of its life (0 when one already has)."""
        moments = [_renewal_moment(entry) for entry in self._index.values()]
        return max(0.0, min(moments) - clock.seconds()) if moments else 0.0

    def renew(self) -> list[str]:
        """Make every leaf again that is missing, past half of its life, or says other names; their names."""
        from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

        renewed = []
        for leaf in self._leaves():
            if self._is_good(leaf):
                continue
            authority = self.authority(leaf.authority)
            key = making.make_key()
            request = making.LeafRequest(leaf.common_name, leaf.organizations, leaf.names, leaf.usages, LEAF_LIFETIME)
            # The authority goes along, so that a joining machine can check it against its token's hash.
            chain = making.to_pem(making.sign_leaf(authority, key.public_key(), request))
            chain += making.to_pem(authority.certificate)
            # A key without its certificate would not load: the index, written last, says which pairs are whole.
            write_private(self.key_path(leaf.name), making.key_to_pem(key))
            write_private(self.certificate_path(leaf.name), chain)
            self._record(leaf, chain)
            renewed.append(leaf.name)
        self._write_index()
        return renewed

    async def keep_fresh(self, context: ssl.SSLContext) -> None:
        """Renew in time, for ever, and give running listeners the new certificate (new connections use it)."""
        while True:
            # One long sleep would miss a suspended laptop's clock jump: look at least once a day.
            await asyncio.sleep(min(self.seconds_to_renewal(), 86400.0))
            if await asyncio.to_thread(self.renew_if_due):
                self.load_server_certificate(context)

    def renew_if_due(self) -> list[str]:
        return self.renew() if self.seconds_to_renewal() == 0 else []

    def authority(self, name: str) -> "certificates.Authority":
        """A CA ready to sign: 'server-ca', 'client-ca' or 'request-header-ca'."""
        from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

        return making.Authority.from_pem(self.certificate_path(name).read_bytes(), self.key_path(name).read_bytes())

    # -- making and checking

    def _leaves(self) -> list[_Leaf]:
        names = tuple(self.options.server_names)
        return [
            _Leaf("server", "server-ca", "mkube", (), names, ("server",)),
            _Leaf("admin", "client-ca", ADMIN_USER, (ADMIN_GROUP,), (), ("client",)),
            _Leaf("front-proxy", "request-header-ca", "front-proxy-client", (), (), ("client",)),
        ]

    def ensure(self) -> None:
        make_private_directory(self.directory)
        self._make_missing_authorities()
        if not self.key_path("service-account").exists():
            from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

            write_private(self.key_path("service-account"), making.key_to_pem(making.make_key()))
        if not self.token_file.exists():
            write_private(self.token_file, f'{ids.secret_token()},{ADMIN_USER},admin,"{ADMIN_GROUP}"\n'.encode())
        self._index = self._read_index()
        if not all(self._is_good(leaf) for leaf in self._leaves()):
            self.renew()
        for path in self.directory.iterdir():
            close_to_others(path)

    def _make_missing_authorities(self) -> None:
        for name, common_name in AUTHORITIES.items():
            certificate, key = self.certificate_path(name), self.key_path(name)
            if certificate.exists() and key.exists():
                continue
            if certificate.exists():
                raise FileNotFoundError(f"{key} is missing, but {certificate} is there: put the key back")
            from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

            # The key first: a crash in between leaves a key without certificate, which the next start replaces.
            authority = making.make_authority(f"{common_name}@{int(clock.seconds())}", AUTHORITY_LIFETIME)
            write_private(key, making.key_to_pem(authority.key))
            write_private(certificate, making.to_pem(authority.certificate))

    def _read_index(self) -> dict[str, dict[str, Any]]:
        try:
            index = json.loads((self.directory / "index.json").read_text())
        except (OSError, ValueError):
            return {}
        return index if isinstance(index, dict) else {}

    def _write_index(self) -> None:
        write_private(self.directory / "index.json", json.dumps(self._index, indent=1).encode())

    def _is_good(self, leaf: _Leaf) -> bool:
        entry = self._index.get(leaf.name)
        try:
            digest = self._digest(leaf)
        except OSError:
            return False
        return (
            entry is not None
            and entry.get("sha256") == digest
            and entry.get("names") == list(leaf.names)
            and _renewal_moment(entry) > clock.seconds()
        )

    def _record(self, leaf: _Leaf, chain: bytes) -> None:
        from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

        start, end = making.validity(chain)
        self._index[leaf.name] = {
            "sha256": self._digest(leaf),
            "notBefore": clock.rfc3339(start),
            "notAfter": clock.rfc3339(end),
            "names": list(leaf.names),
        }

    def _digest(self, leaf: _Leaf) -> str:
        """Of everything that must belong together: certificate, key and the authority they come from."""
        paths = (self.certificate_path(leaf.name), self.key_path(leaf.name), self.certificate_path(leaf.authority))
        return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()

    def expiries(self) -> dict[str, datetime]:
        """When each leaf ends, for the command line's report."""
        return {name: clock.parse(entry["notAfter"]) for name, entry in self._index.items()}


def ensure_pki(options: PkiOptions) -> Pki:
    """Make what is missing, renew what is half used up, and return the cluster's PKI. Blocking: call it in a thread.

    Raises OSError when the directory can't be written, or a CA's key has gone.
    """
    pki = Pki(options)
    pki.ensure()
    return pki


def certificate_hash(pem: bytes) -> str:
    """SHA-256 of the first certificate's DER form, in hexadecimal."""
    text = pem.decode()
    end = "-----END CERTIFICATE-----"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)] + "\n")).hexdigest()


def _renewal_moment(entry: dict[str, Any]) -> float:
    """When half of the life is over, in seconds since the epoch; 0 for an entry that can't be read."""
    try:
        start, end = clock.parse(entry["notBefore"]), clock.parse(entry["notAfter"])
    except (KeyError, ValueError, TypeError):
        return 0.0
    return start.timestamp() + (end - start).total_seconds() * RENEW_AT

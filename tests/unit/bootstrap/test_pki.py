import asyncio
import ssl
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from minikube_py import clock
from minikube_py.bootstrap.join import (
    JoinToken,
    OtherCluster,
    ServerUnreachable,
    TokenTruncated,
    fetch_server_ca,
    parse_join_token,
)
from minikube_py.bootstrap.pki import Pki, PkiOptions, certificate_hash, ensure_pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return ensure_pki(PkiOptions(tmp_path / "pki", tls_sans=("cluster.example",)))


@pytest.fixture
def later():
    def move(**delta: float) -> None:
        moment = clock.seconds() + timedelta(**delta).total_seconds()
        clock.set_source(lambda: moment)

    yield move
    clock.reset_source()


def test_everything_is_closed_to_others(pki: Pki) -> None:
    assert stat.S_IMODE(pki.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in pki.directory.iterdir()} == {0o600}


def test_a_second_start_changes_nothing(pki: Pki) -> None:
    before = {p.name: p.read_bytes() for p in pki.directory.iterdir()}
    ensure_pki(pki.options)
    assert {p.name: p.read_bytes() for p in pki.directory.iterdir()} == before


def test_a_second_start_loads_no_x509_library(pki: Pki) -> None:
    code = (
        "import sys; from pathlib import Path; from minikube_py.bootstrap.pki import *\n"
        f"p = ensure_pki(PkiOptions(Path({str(pki.directory)!r}), tls_sans=('cluster.example',)))\n"
        "p.server_ssl_context(); p.admin_token; p.server_ca_hash\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_server_certificate_has_the_fixed_names_and_is_back_dated(pki: Pki) -> None:
    certificate = x509.load_pem_x509_certificate(pki.certificate_path("server").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "mkube",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "cluster.example",
    ]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.43.0.1"]
    assert certificate.not_valid_before_utc < clock.now() - timedelta(hours=23)


def test_another_name_makes_a_new_server_certificate_and_keeps_the_authority(pki: Pki) -> None:
    authority, server = pki.server_ca_pem, pki.certificate_path("server").read_bytes()
    admin = pki.certificate_path("admin").read_bytes()
    again = ensure_pki(PkiOptions(pki.directory, tls_sans=("other.example",)))
    assert again.server_ca_pem == authority
    assert again.certificate_path("server").read_bytes() != server
    assert again.certificate_path("admin").read_bytes() == admin


def test_leaves_are_renewed_at_half_of_their_life(pki: Pki, later) -> None:
    server = pki.certificate_path("server").read_bytes()
    later(days=180)
    assert pki.renew_if_due() == []
    later(days=5)
    assert pki.renew_if_due() == ["server", "admin", "front-proxy"]
    assert pki.certificate_path("server").read_bytes() != server
    later(days=400)
    assert ensure_pki(pki.options).expiries()["server"] > clock.now()


async def test_a_running_listener_gets_the_renewed_certificate(tmp_path: Path, later) -> None:
    later(days=-200)
    pki = ensure_pki(PkiOptions(tmp_path))
    context = pki.server_ssl_context()
    clock.reset_source()
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client = ssl.create_default_context(cadata=pki.server_ca_pem.decode())

    async def certificate() -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="mkube")
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        await writer.wait_closed()
        return der

    try:
        first = await certificate()
        assert "server" in pki.renew_if_due()
        pki.load_server_certificate(context)
        assert await certificate() != first
    finally:
        server.close()
        await server.wait_closed()


def test_a_lost_authority_key_is_said_and_nothing_is_replaced(pki: Pki) -> None:
    pki.key_path("server-ca").unlink()
    before = pki.server_ca_pem
    with pytest.raises(FileNotFoundError, match="put the key back"):
        ensure_pki(pki.options)
    assert pki.server_ca_pem == before


def test_a_half_written_leaf_is_made_again(pki: Pki) -> None:
    pki.key_path("server").write_bytes(b"torn")
    again = ensure_pki(pki.options)
    again.server_ssl_context()


async def test_a_joining_machine_checks_the_authority_before_it_speaks(pki: Pki, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=pki.server_ssl_context())
    port = server.sockets[0].getsockname()[1]
    try:
        right = JoinToken(pki.server_ca_hash, "abcdef", "0123456789abcdef")
        assert await fetch_server_ca("127.0.0.1", port, right) == pki.server_ca_pem
        other = ensure_pki(PkiOptions(tmp_path / "other"))
        with pytest.raises(OtherCluster, match="another cluster"):
            await fetch_server_ca("127.0.0.1", port, JoinToken(other.server_ca_hash, "abcdef", "0" * 16))
    finally:
        server.close()
        await server.wait_closed()
    with pytest.raises(ServerUnreachable):
        await fetch_server_ca("127.0.0.1", port, right)


def test_join_tokens_round_trip_and_say_where_they_were_cut(pki: Pki) -> None:
    token = JoinToken(certificate_hash(pki.server_ca_pem), "abcdef", "0123456789abcdef")
    text = str(token)
    assert parse_join_token(f" {text}\n") == token
    assert "0123456789abcdef" not in repr(token)
    for cut, words in (
        (text[:-1], "secret part has 22"),
        (text[:40], "inside its CA hash"),
        (text[3:], "does not start with K10"),
        (text[:10] + text[11:], "has 63 characters"),
    ):
        with pytest.raises(TokenTruncated, match=words):
            parse_join_token(cut)

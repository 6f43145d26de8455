"""The command line's manners: exit codes, one clear sentence on failure, environment variables."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.server_process import MKUBE, ROOT


def mkube(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MKUBE, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_version_names_both() -> None:
    done = mkube("version")
    assert done.returncode == 0
    assert "Kubernetes API v1.37" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("server", "--cluster-cidr", "10.42.0.0/33"), "--cluster-cidr"),
        (("server", "--cluster-dns", "10.99.0.10"), "not in --service-cidr"),
        (("server", "--service-cidr", "10.42.0.0/16"), "overlap"),
        (("server", "--runtime-config", "apps/v1=maybe"), "--runtime-config"),
        (("server", "--container-runtime", "podman"), "podman"),
        (("agent", "--server", "http://x", "--token", "y"), "https://"),
        (("server", "--token", "short"), "--token"),
        (("server", "--audit-log-path", "-"), "--audit-policy-file"),
        (("server", "--audit-policy-file", "x"), "--audit-log-path"),
        (("server", "--audit-policy-file", "x", "--audit-log-path", "y", "--audit-log-maxage", "-1"), "maxage"),
        (("server", "--oidc-issuer-url", "https://x"), "--oidc-client-id"),
        (("server", "--oidc-issuer-url", "http://x", "--oidc-client-id", "a"), "https://"),
        (("server", "--oidc-issuer-url", "https://x?a=b", "--oidc-client-id", "a"), "query"),
        (("server", "--oidc-issuer-url", "https://x", "--oidc-client-id", "a", "--oidc-signing-algs", "none"), "none"),
        (("server", "--oidc-issuer-url", "https://x", "--oidc-client-id", "a", "--oidc-required-claim", "b"), "CLAIM="),
        (("server", "--requestheader-group-headers", "a b"), "header name"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_the_flag_named(arguments: tuple[str, ...], text: str) -> None:
    done = mkube(*arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_environment_variables_stand_for_flags() -> None:
    assert mkube("server", MKUBE_CLUSTER_CIDR="nonsense").returncode == 2


def test_an_authority_that_cannot_be_read_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    quiet = ("--container-runtime", "fake", "--https-listen-port", "0", "--data-dir", str(tmp_path / "data"))
    empty = tmp_path / "ca.crt"
    empty.write_text("nothing")
    for flag in ("--oidc-ca-file", "--requestheader-client-ca-file"):
        issuer = ("--oidc-issuer-url", "https://x", "--oidc-client-id", "a")
        for file, why in ((tmp_path / "missing", "No such file"), (empty, "no certificates")):
            failed = mkube("server", *quiet, *issuer, flag, str(file))
            assert failed.returncode == 1
            assert failed.stderr.startswith(f"Error: cannot use {flag} {file}: ")
            assert why in failed.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--enable-admission-plugins", "Nonsense"), "there is no admission plugin 'Nonsense'"),
        (("--enable-admission-plugins", "EventRateLimit"), "EventRateLimit needs limits"),
        (("--admission-control-config-file", "/nowhere"), "cannot read the admission configuration /nowhere"),
    ],
)
def test_admission_plugins_that_cannot_be_used_stop_the_start(
    tmp_path: Path, flags: tuple[str, ...], text: str
) -> None:
    quiet = ("--container-runtime", "fake", "--https-listen-port", "0", "--data-dir", str(tmp_path / "data"))
    failed = mkube("server", *quiet, *flags)
    assert failed.returncode == 1
    assert text in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_a_bad_audit_policy_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n")
    flags = ("--audit-policy-file", str(policy), "--audit-log-path", str(tmp_path / "audit.log"))
    quiet = ("--container-runtime", "fake", "--https-listen-port", "0", "--data-dir", str(tmp_path / "data"))
    failed = mkube("server", *quiet, *flags)
    assert failed.returncode == 1
    assert f"{policy} can't be used: rules[0].level: Unsupported value" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_commands_without_a_cluster_say_so(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "none"))
    assert "No server runs" in mkube("stop", *data).stdout
    assert "No cluster" in mkube("down", *data).stdout
    assert "No cluster" in mkube("delete", "--yes", *data).stdout
    failed = mkube("token", "create", *data)
    assert failed.returncode == 1
    assert "No server runs" in failed.stderr

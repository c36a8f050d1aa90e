import os
from urllib.request import getproxies_environment, proxy_bypass

import pytest

from infra import proxies

HERE = "127.0.0.1,localhost,::1"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, "")
            monkeypatch.delenv(spelled)


@pytest.mark.parametrize(
    ("given", "spared"),
    [
        ({"HTTP_PROXY": "http://p:1"}, HERE),
        ({"https_proxy": "http://p:1"}, HERE),
        ({"ALL_PROXY": "socks5://p:1"}, HERE),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.org, .b.org"}, f"a.org,.b.org,{HERE}"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "", "NO_PROXY": "a.org"}, f"a.org,{HERE}"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "b.org", "NO_PROXY": "a.org,b.org"}, f"b.org,a.org,{HERE}"),
        (
            {"HTTP_PROXY": "http://p:1", "no_proxy": "a.org,b.org", "NO_PROXY": "b.org, .d.org"},
            f"a.org,b.org,.d.org,{HERE}",
        ),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "localhost", "NO_PROXY": "a.org"}, "localhost,a.org,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "*"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "a.org", "NO_PROXY": "*"}, "*"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "a.org, *"}, "*"),
        ({"NO_PROXY": "a.org"}, "a.org"),
        ({}, None),
    ],
)
def test_no_proxy_carries_what_runs_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], spared: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        proxies.spare_this_machine()
        assert os.environ.get("NO_PROXY") == spared
        if spared and getproxies_environment().keys() - {"no"}:
            assert os.environ["no_proxy"] == spared
            assert all(proxy_bypass(host) for host in ("127.0.0.1:4200", "localhost:8333", "localhost"))
            assert bool(proxy_bypass("c.org")) == (spared == "*")


def test_a_program_that_knows_no_exceptions_gets_no_proxy_for_what_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", "b.org")
    proxies.spare_this_machine()
    for address in ("http://127.0.0.1:8333", "http://localhost:8333", "https://s3.b.org"):
        assert "HTTP_PROXY" not in proxies.environment_for(address)
        assert "NO_PROXY" in proxies.environment_for(address)
    for address in ("https://s3.a.org", "", "http://[::1"):
        assert proxies.environment_for(address) == dict(os.environ)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://me:secret@p:1"}, None),
        ({"HTTPS_PROXY": "p:3128"}, None),
        ({"ALL_PROXY": "socks5://me:secret@p:1"}, "ALL_PROXY: "),
        ({"https_proxy": "socks5h://me:secret@p:1", "HTTP_PROXY": ""}, "https_proxy: "),
        ({"all_proxy": "ftp://me:secret@p:1"}, "all_proxy: "),
        ({"NO_PROXY": "[::1]"}, "NO_PROXY: "),
        ({"SSL_CERT_FILE": "/no/secret"}, "SSL_CERT_FILE: "),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = proxies.fault()
    assert (found or "").startswith(said or "")
    assert (found is None) == (said is None)
    assert "secret" not in (found or "")

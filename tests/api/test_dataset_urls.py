"""Datasets are fetched from named hosts alone, and never from an inner address."""

import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient

from models.data.library.fetching import (
    MAX_REDIRECTS,
    Fetcher,
    is_public,
    parse_hosts,
    resolve,
)
from models.errors import Invalid, TooLarge
from models.settings import Settings

NAME = "data.luthier.test"
CSV = b"a,b\n1,2\n3,4\n"


@dataclass
class Host:
    """A real HTTPS server, what it answers by path, and what it was asked."""

    port: int
    context: ssl.SSLContext  # that trusts it
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def fetcher(self, **changes: Any) -> Fetcher:
        """One that knows the server's name and takes its loopback address for a public one."""
        allowed = Fetcher(
            hosts=(f"{NAME}:{self.port}",),
            max_bytes=1000,
            resolve=lambda host, port: ["127.0.0.1"],
            is_allowed=lambda address: address == "127.0.0.1",
            context=self.context,
        )
        return replace(allowed, **changes)


def handler(host: Host) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append((self.path, dict(self.headers)))
            name, _, rest = self.path.partition("?")[0].strip("/").partition("/")
            if name == "to":
                self.answer(302, b"", Location=rest)
            elif name == "hop":
                self.answer(302, b"", Location=f"/hop/{int(rest) - 1}" if int(rest) else "/a.csv")
            elif name == "packed.csv":
                self.answer(200, CSV, **{"Content-Encoding": "gzip"})
            elif name == "large.csv":
                self.answer(200, b"a\n" + b"1\n" * 1000)
            elif name == "a.csv":
                self.answer(200, CSV, **{"Content-Type": "text/csv"})
            else:
                self.answer(404, b"")

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests need no log."""

    return Handler


def certificate(folder: Path) -> Path:
    """A self-signed certificate of NAME with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "host.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return pem


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    pem = certificate(tmp_path)
    host = Host(0, ssl.create_default_context(cafile=str(pem)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(host))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


def refusal(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(Invalid) as refused:
        fetcher.fetch(url)
    ((path, (message,)),) = refused.value.errors.items()
    assert path == "url"
    return message


def test_a_file_is_fetched_from_a_named_host(host: Host) -> None:
    with host.fetcher().fetch(f"{host.url}/a.csv?x=1") as found:
        assert found.content.read() == CSV
    assert (found.filename, found.content_type) == ("a.csv", "text/csv")
    ((path, headers),) = host.asked
    assert path == "/a.csv?x=1"
    assert headers["Host"] == f"{NAME}:{host.port}"
    assert "Authorization" not in headers


def test_the_certificate_must_be_that_of_the_name(host: Host) -> None:
    strange = host.fetcher(context=ssl.create_default_context())
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(strange, f"{host.url}/a.csv")
    other = f"other.luthier.test:{host.port}"
    assert "certificate" in refusal(host.fetcher(hosts=(other,)), f"https://{other}/a.csv")
    assert host.asked == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://data.luthier.test/a.csv", "Only https is fetched."),
        ("ftp://data.luthier.test/a.csv", "Only https is fetched."),
        ("file:///etc/passwd", "Only https is fetched."),
        ("//data.luthier.test/a.csv", "Only https is fetched."),
        ("a.csv", "Only https is fetched."),
        ("https:///a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://me:secret@data.luthier.test/a.csv", "must not hold a user name"),
        ("https://data.luthier.test@evil.test/a.csv", "must not hold a user name"),
        ("https://evil.test/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://data.luthier.test.evil.test/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://xdata.luthier.test/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://data.luthier.test:22/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://127.0.0.1/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://[::1]/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://2130706433/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://[bad/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://data.luthier.test:port/a.csv", "could not be fetched"),
    ],
)
def test_other_addresses_are_not_even_looked_up(url: str, message: str) -> None:
    def never(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    fetcher = Fetcher(("data.luthier.test",), 1000, resolve=never)
    assert message in refusal(fetcher, url)


def test_names_below_one_are_allowed_by_a_star(host: Host) -> None:
    starred = host.fetcher(hosts=(f"*.luthier.test:{host.port}",))
    for name in (NAME, "DATA.luthier.test"):
        with starred.fetch(f"https://{name}:{host.port}/a.csv") as found:
            assert found.content.read() == CSV
    bare = f"https://luthier.test:{host.port}/a.csv"
    assert "LUTHIER_DATASET_URL_HOSTS" in refusal(starred, bare)
    assert parse_hosts(" A.test, *.b.test:8443\n") == ("a.test", "*.b.test:8443")


def test_a_name_that_means_an_inner_address_is_refused(host: Host) -> None:
    """Whatever else it means: no address may be tried that is not public."""
    for addresses in (["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["10.0.0.1", "1.1.1.1"], []):
        fetcher = host.fetcher(resolve=lambda *_, found=addresses: found, is_allowed=is_public)
        assert "not public" in refusal(fetcher, f"{host.url}/a.csv")
    local = Fetcher((f"localhost:{host.port}",), 1000, context=host.context)
    assert "not public" in refusal(local, f"https://localhost:{host.port}/a.csv")
    assert host.asked == []


def test_the_address_that_was_checked_is_the_one_that_is_used(host: Host) -> None:
    """A name that means another address when it is asked again gains nothing."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    with host.fetcher(resolve=lambda *_: next(answers)).fetch(f"{host.url}/a.csv") as found:
        assert found.content.read() == CSV
    assert next(answers) == ["127.0.0.2"]  # it was asked once


def test_redirects_are_followed_so_far(host: Host) -> None:
    last = MAX_REDIRECTS - 1
    with host.fetcher().fetch(f"{host.url}/hop/{last}") as found:
        assert (found.content.read(), found.filename) == (CSV, "a.csv")
    assert f"more than {MAX_REDIRECTS} times" in refusal(
        host.fetcher(), f"{host.url}/hop/{last + 1}"
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://data.luthier.test/a.csv", "Only https"),
        ("https://evil.test/a.csv", "LUTHIER_DATASET_URL_HOSTS"),
        ("https://169.254.169.254/latest/meta-data", "LUTHIER_DATASET_URL_HOSTS"),
        ("file:///etc/passwd", "Only https"),
    ],
)
def test_each_redirect_is_checked_like_the_first_address(
    host: Host, target: str, message: str
) -> None:
    assert message in refusal(host.fetcher(), f"{host.url}/to/{target}")
    assert len(host.asked) == 1


def test_a_redirect_to_a_name_that_now_is_inner_is_refused(host: Host) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    fetcher = host.fetcher(resolve=lambda *_: next(answers))
    assert "not public" in refusal(fetcher, f"{host.url}/hop/0")
    assert [path for path, _ in host.asked] == ["/hop/0"]


def test_a_file_that_is_too_large_is_not_read_to_its_end(host: Host) -> None:
    with pytest.raises(TooLarge, match="LUTHIER_MAX_BODY_BYTES"):
        host.fetcher().fetch(f"{host.url}/large.csv")


def test_other_answers_are_refused(host: Host) -> None:
    assert "status 404" in refusal(host.fetcher(), f"{host.url}/none.csv")
    assert "content coding" in refusal(host.fetcher(), f"{host.url}/packed.csv")
    closed = host.fetcher(hosts=(f"{NAME}:1",))
    assert "could not be fetched" in refusal(closed, f"https://{NAME}:1/a.csv")


def test_the_environment_s_proxies_are_not_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with host.fetcher().fetch(f"{host.url}/a.csv") as found:
        assert found.content.read() == CSV


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "fc00::1", "fd12::1", "fe80::1",
        "fe80::1%lo", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
        "2002:7f00:1::", "2001:0:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address: str) -> None:
    assert ipaddress.ip_address(address)
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


def test_this_machine_s_own_name_resolves_to_loopback() -> None:
    assert not any(map(is_public, resolve("localhost", 443)))


def test_nothing_is_fetched_unless_hosts_are_named(
    app_client: FlaskClient, refused: Callable[..., dict[str, Any]]
) -> None:
    response = app_client.post("/datasets", json={"url": "https://data.luthier.test/a.csv"})
    (message,) = refused(response, 422)["url"]
    assert "LUTHIER_DATASET_URL_HOSTS" in message


def test_the_hosts_of_the_settings_are_asked_with_the_checks(
    host: Host,
    settings: Settings,
    connect: Callable[[Settings], FlaskClient],
    refused: Callable[..., dict[str, Any]],
) -> None:
    named = f"localhost:{host.port}"
    client = connect(Settings(data=settings.data, dataset_url_hosts=named))
    response = client.post("/datasets", json={"url": f"https://{named}/a.csv"})
    assert "not public" in refused(response, 422)["url"][0]
    for body in ({"url": "x", "records": [{"a": 1}]}, {"url": 3}, {"url": ""}, {"url": "a\r\nb"}):
        refused(client.post("/datasets", json=body), 422)
    tune = {"model": "m", "dataset": {"url": f"https://{named}/a.csv"}, "target": "a"}
    assert "dataset" in refused(client.post("/tune", json=tune), 422)
    assert host.asked == []


def test_a_fetched_file_becomes_a_dataset(host: Host, app_client: FlaskClient) -> None:
    library = app_client.application.extensions["luthier"].datasets
    record = library.add_url(f"{host.url}/a.csv", {"a": "category"}, fetcher=host.fetcher())
    body = app_client.get(f"/datasets/{record.id}").get_json()
    assert body["name"] == "a.csv"
    assert body["rows"] == 2
    assert body["columns"][0]["type"] == "category"

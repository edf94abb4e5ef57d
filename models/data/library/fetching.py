"""Files fetched from allowed hosts, in a way that cannot reach private addresses (SSRF)."""

import ipaddress
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, NoReturn

import httpx

from models.errors import Invalid, TooLarge

MAX_REDIRECTS = 3
_MAX_SECONDS = 60.0  # of the whole fetch
_TIMEOUT = httpx.Timeout(10.0)  # of connecting, and of each chunk
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched file; its content is gone when the block that it is used in is left."""

    content: IO[bytes]
    filename: str
    content_type: str | None

    def __enter__(self) -> "Fetched":
        return self

    def __exit__(self, *_: object) -> None:
        self.content.close()


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host; raise OSError if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet.

    Private, loopback, link-local (where clouds keep credentials), shared, reserved and multicast
    addresses are not, nor IPv6 addresses that stand for one of IPv4.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches from `hosts` only: a name or `*.` and a name, with `:port` unless it is 443.

    `context` checks certificates; None trusts the public authorities.
    """

    hosts: Sequence[str]
    max_bytes: int
    resolve: Callable[[str, int], list[str]] = resolve
    is_allowed: Callable[[str], bool] = is_public
    context: ssl.SSLContext | None = None

    def fetch(self, url: str) -> Fetched:
        """Fetch `url`. Raises Invalid at `url`, and TooLarge for more than `max_bytes`.

        Every address, redirects included, is checked, and the connection goes to the IP address
        that was checked, so that the name cannot be resolved to another one in between.
        """
        deadline = time.monotonic() + _MAX_SECONDS
        try:
            target = httpx.URL(url)
            # Proxies, .netrc and certificates of the environment are not used.
            context = self.context or httpx.create_ssl_context(trust_env=False)
            with httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False) as client:
                for _ in range(MAX_REDIRECTS + 1):
                    found = self._request(client, target, deadline)
                    if isinstance(found, Fetched):
                        return found
                    target = target.join(found)
        except (httpx.InvalidURL, httpx.TransportError, OSError, UnicodeError) as error:
            _refuse(f"It could not be fetched: {error or type(error).__name__}.")
        _refuse(f"It redirects more than {MAX_REDIRECTS} times.")

    def _request(self, client: httpx.Client, url: httpx.URL, deadline: float) -> Fetched | str:
        """Send one request; return the file, or the address that it redirects to."""
        host = url.raw_host.decode("ascii")
        request = client.build_request(
            "GET",
            url.copy_with(host=self._checked_address(url)),
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": host},
        )
        response = client.send(request, stream=True)
        try:
            if response.has_redirect_location:
                return response.headers["Location"]
            if response.status_code != httpx.codes.OK:
                _refuse(f"It answers with status {response.status_code}.")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                _refuse("It answers in a content coding that was not asked for.")
            content = self._read(response, deadline)
        finally:
            response.close()
        name = PurePosixPath(url.path).name
        return Fetched(content, name, response.headers.get("Content-Type"))

    def _checked_address(self, url: httpx.URL) -> str:
        if url.scheme != "https":
            _refuse("Only https is fetched.")
        if url.userinfo:
            _refuse("It must not hold a user name or password.")
        host, port = url.raw_host.decode("ascii").lower(), url.port or _HTTPS_PORT
        if not any(_matches(allowed, host, port) for allowed in self.hosts):
            _refuse("Its host is not one of LUTHIER_DATASET_URL_HOSTS.")
        addresses = self.resolve(host, port)
        if not addresses or not all(map(self.is_allowed, addresses)):
            _refuse("Its host has an address that is not public.")
        return addresses[0]

    def _read(self, response: httpx.Response, deadline: float) -> IO[bytes]:
        file = tempfile.TemporaryFile(prefix="luthier-fetched-")  # noqa: SIM115  # the caller's
        try:
            self._copy(response, deadline, file)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _copy(self, response: httpx.Response, deadline: float, file: IO[bytes]) -> None:
        size = 0
        for piece in response.iter_raw():
            size += len(piece)
            if size > self.max_bytes:
                raise TooLarge(
                    f"The address answers with more than {self.max_bytes:,} bytes, the most that"
                    " LUTHIER_MAX_BODY_BYTES allows."
                )
            if time.monotonic() > deadline:
                _refuse(f"It takes longer than {_MAX_SECONDS:g} seconds.")
            file.write(piece)


def parse_hosts(text: str) -> tuple[str, ...]:
    """Parse the setting LUTHIER_DATASET_URL_HOSTS."""
    return tuple(host.lower() for host in re.split(r"[,\s]+", text) if host)


def _matches(allowed: str, host: str, port: int) -> bool:
    name, _, wanted = allowed.partition(":")
    if port != (int(wanted) if wanted.isdecimal() else _HTTPS_PORT):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _refuse(message: str) -> NoReturn:
    raise Invalid.at("url", message)

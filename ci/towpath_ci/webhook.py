"""A webhook: one POST of JSON to an address that whoever runs the guard has set, and to nowhere else.

The address is a secret (its path often holds a token): it is read from the environment only and never shown. The host
is resolved once, every address of it is checked, and the checked one is called, so that a name cannot point elsewhere
the moment after. Redirects are not followed and no proxy is used.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from towpath_gitops.errors import InvalidFileError, RefusedError, UnavailableError

VARIABLE: Final = "TOWPATH_ALERT_WEBHOOK"
TIMEOUT_S: Final = 3.0
PAUSES_S: Final = (0.5, 1.0)  # between tries; so there is one try more
_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
# Where clouds hand out credentials though the address does not look like it.
_METADATA: Final = tuple(
    ipaddress.ip_network(text) for text in ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128")
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Webhook:
    """One address, checked."""

    host: str
    port: int
    path: str = field(repr=False)
    secure: bool
    resolve: Callable[[str, int], Sequence[str]] = _resolve
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def parse(cls, address: str) -> Self:
        """Return the webhook at an address.

        Raises:
            InvalidFileError: it is not https, or http to this machine; it holds a user, or what no address holds.
        """
        try:
            parts = urlsplit(address)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise _invalid("it cannot be read") from error
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise _invalid("it does not begin with https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise _invalid("it holds a user; put the token into the path")
        if not address.isascii() or not address.isprintable() or " " in address:
            raise _invalid("it holds a space, a control character or one beyond ASCII")
        return cls(parts.hostname, port, _path(parts), parts.scheme == "https")

    def post(self, body: bytes) -> None:
        """Post JSON; tried a few times when the other side is late or says that it is.

        Raises:
            RefusedError: the host is one that nothing is sent to, or it answers that it does not take this.
            UnavailableError: it did not take it in time.
        """
        for pause_s in (*PAUSES_S, None):
            try:
                return self._try(body)
            except UnavailableError:
                if pause_s is None:
                    raise
                self.sleep(pause_s)
        return None

    def _try(self, body: bytes) -> None:
        try:
            status = self._send(body, self._checked())
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"The webhook at {self.host} does not answer", why=type(error).__name__) from error
        if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"The webhook at {self.host} answers with status {status}")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            moved = " Redirects are not followed." if status < HTTPStatus.BAD_REQUEST else ""
            raise RefusedError(f"The webhook at {self.host} does not take the alert", why=f"Status {status}.{moved}")

    def _checked(self) -> str:
        """Return an address of the host, all of which may be called."""
        addresses = self.resolve(self.host, self.port)
        for text in addresses:
            if not _is_allowed(_unwrapped(text), secure=self.secure):
                why = "An address without https is on this machine." if not self.secure else "Nothing is sent there."
                raise RefusedError(f"The webhook's host {self.host} has an address that is not allowed", why=why)
        return addresses[0]

    def _send(self, body: bytes, address: str) -> int:
        with socket.create_connection((address, self.port), TIMEOUT_S) as plain:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
            # Whose certificate is asked for is the name's, whichever of its addresses is called.
            secure = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self.secure else None
            connection.sock = secure or plain
            try:
                connection.request("POST", self.path, body=body, headers={"Content-Type": "application/json"})
                return connection.getresponse().status
            finally:
                connection.close()


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _unwrapped(text: str) -> Address:
    """Return an address, taken out of the IPv6 form that may hold an IPv4 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address
    translated = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or translated or address


def _is_allowed(address: Address, *, secure: bool) -> bool:
    if not secure:
        return address.is_loopback
    metadata = any(address.version == network.version and address in network for network in _METADATA)
    return not (address.is_link_local or address.is_multicast or address.is_unspecified or metadata)


def _invalid(why: str) -> InvalidFileError:
    return InvalidFileError(
        f"{VARIABLE} is not an address that alerts can be sent to",
        why=f"What it holds is secret and not shown, but {why}.",
        hint="Set it to https://… of your chat or paging service, or to http://127.0.0.1:…",
    )

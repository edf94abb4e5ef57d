"""Addresses to listen on, as settings give them."""

from models.errors import SettingError


def parse_address(variable: str, text: str) -> tuple[str, int]:
    """Host and port of `text`; SettingError, naming `variable`, where it has not both."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"{variable}={text!r}: expected address and port, as in 127.0.0.1:8000.")
    return host.strip("[]"), int(port)

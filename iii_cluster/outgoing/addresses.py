"""Which IP addresses belong to the public internet, and hosts that are addresses in disguise."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_MAX_NAME = 253  # characters of a host name
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")

_NAT64 = ip_network("64:ff9b::/96")  # the last four bytes are the IPv4 address that is reached
_GLOBAL_UNICAST = ip_network("2000::/3")  # all that was ever given out
# What `is_global` says otherwise of, in some Python or in all: tunnels end anywhere, examples nowhere.
_NEVER = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # 6to4 relays
            "2001::/23",  # Teredo and other protocol assignments
            "2002::/16",  # 6to4
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(address: Address) -> bool:
    """Anybody on the internet reaches the same host at this address; translated ones are judged by what they mean."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address not in _GLOBAL_UNICAST:
            return False
    elif address.is_reserved:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)


def read_address(text: str) -> Address:
    """An address as a resolver tells it. Raises ValueError."""
    return ip_address(text)


def read_host(host: str) -> tuple[str, Address | None]:
    """The host of a URL (lower case, brackets off) as it is connected to, and as an address if it is one.

    Other clients read `127.1`, `0x7f000001`, `017700000001` and `2130706433` as addresses, so they are ones here, too.
    Raises ValueError for what is neither an address nor a name.
    """
    if ":" in host:
        address = IPv6Address(host.replace("%25", "%"))
        return str(address), address
    host = host[:-1] if host.endswith(".") else host
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        number = _ipv4(labels)
        return str(number), number
    if len(host) > _MAX_NAME or not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    return host, None


def _ipv4(parts: list[str]) -> IPv4Address:
    """One to four numbers; the last one fills the bytes that are left."""
    numbers = [_number(part) for part in parts]
    *first, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        raise ValueError("not an IPv4 address")
    return IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(first)) + last)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or len(text) > 40:
        raise ValueError("not a number")
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if len(text) > 1 and text.startswith("0") else 10)

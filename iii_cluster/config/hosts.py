"""Hosts as they are written down for ports: addresses, or names that may lead to any."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Only the machine itself reaches what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return address_of(host).is_loopback
    except ValueError:
        return False


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """IPv4 inside IPv6 counts as IPv4. Raises ValueError for a name."""
    address = ipaddress.ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address

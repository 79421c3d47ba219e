"""Which addresses are public, in every spelling."""

from ipaddress import ip_address

import pytest

from iii_cluster.outgoing.addresses import is_public, read_host


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.0",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.1.2.3",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c:0:0:80ff:fffe",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.65530", "127.0.255.250"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0x", "0.0.0.0"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("010.8.8.8", "8.8.8.8"),
        ("0", "0.0.0.0"),
        ("00000000000000000000000000000000000000.0.0.1", "0.0.0.1"),
        ("2852039166", "169.254.169.254"),
        ("4294967295", "255.255.255.255"),
        ("::1", "::1"),
        ("0:0:0:0:0:ffff:7f00:1", "::ffff:7f00:1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("fe80::1%25eth0", "fe80::1%eth0"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_host_is_an_address_in_every_spelling_that_clients_know(host: str, address: str) -> None:
    assert read_host(host) == (str(ip_address(address)), ip_address(address))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("a_b.example", "a_b.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("4u", "4u"),
        ("xn--strae-oqa.de", "xn--strae-oqa.de"),
        ("0x7g", "0x7g"),
    ],
)
def test_a_name_stays_a_name(host: str, name: str) -> None:
    assert read_host(host) == (name, None)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "..",
        "a..b",
        "example.com..",
        "-a.com",
        "a-.com",
        "a b",
        "a%2eb",
        "%31%32%37.0.0.1",
        "256.0.0.1",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.65536",
        "4294967296",
        "08.1.1.1",
        "1..2",
        "0x100000000",
        "9" * 5000,
        "127.0.0.1:80:90",
        "::1::",
        "1.2.3.0xg.0x1",
        "a" * 64 + ".com",
        ".".join(["a" * 60] * 5),
        "ex*mple.com",
        "münchen.de",
    ],
)
def test_what_is_neither_is_refused(host: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_host(host)

"""Which addresses of a network a request of ours may go to. Pure: nothing here asks a resolver.

Python's `is_global` alone is wrong for this: it lets multicast and NAT64 through, behind which private addresses stand.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Address = IPv4Address | IPv6Address
Kind = Literal["public", "private", "forbidden"]

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
_PRIVATE = (
    *(IPv4Network(block) for block in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    IPv4Network("100.64.0.0/10"),  # carriers' NAT, and private networks of Tailscale's kind
)
# Inside what counts as global: blocks that lead to IPv4 (6to4, Teredo) or nowhere (documentation, benchmarks).
_NOT_UNICAST = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv4Network("198.18.0.0/15"))
_NOT_UNICAST_6 = tuple(IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# Where clouds hand secrets to whoever asks from inside, beside the link-local ones: Alibaba's, Azure's, Amazon's.
_METADATA = tuple(ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))


def kind(address: Address) -> Kind:
    """`private` addresses are for hosts that an admin named; `forbidden` ones, such as cloud metadata's, for none."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return kind(address.ipv4_mapped)
        is_private = address.is_loopback or address in _UNIQUE_LOCAL
        is_public = address in _GLOBAL_UNICAST and not any(address in block for block in _NOT_UNICAST_6)
    else:
        is_private = any(address in block for block in _PRIVATE)
        is_public = not address.is_multicast and not any(address in block for block in _NOT_UNICAST)
    if address in _METADATA:
        return "forbidden"
    return "private" if is_private else "public" if is_public and address.is_global else "forbidden"


def kind_of_host(host: str) -> Kind | None:
    """The kind of an address that is written out; None for a name, of which only a resolver can tell."""
    if host.lower().rstrip(".") == "localhost":
        return "private"
    try:
        return kind(ip_address(host.strip("[]")))
    except ValueError:
        return None

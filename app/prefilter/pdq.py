"""PDQ hashes as numbers: how far two pictures are apart, and where in an index their copies must be.

A hash is 256 bits, one for each of 16 × 16 frequencies of a picture (Meta's ThreatExchange). Turning or mirroring
the picture permutes its frequencies and changes the sign of some, so eight views of a hash are known from its bits
alone. They differ by a few bits from the hashes of the turned picture itself, but the eight are a group: the
distance of two hashes is the same from either side, and so does not depend on which came first.

Copies are found by multi-index hashing (Norouzi, Punjani, Fleet 2012): two hashes within 31 bits, cut into 16
pieces of 16 bits (a piece is a row of frequencies), have a piece that differs in at most one bit. Mirroring changes
all of a row's bits, every second one, or none; so a row is indexed as the least of those four, and one lookup serves
four orientations. All copies of a hash are among those that share one of its `probes`.
"""

from functools import lru_cache

BITS = 256
SIDE = 16  # frequencies in a row, bits in a piece, pieces in a hash: all 16
FARTHEST = 2 * SIDE - 1  # the largest radius that `probes` serve
ODD_COLUMNS = int("01" * SIDE * (SIDE // 2), 2)
ODD_ROWS = int(("0" * SIDE + "1" * SIDE) * (SIDE // 2), 2)

MIRRORS = (0, 0x5555, 0xAAAA, 0xFFFF)  # what mirroring may change of a row
CHANGES = (0, *(1 << bit for bit in range(SIDE)))  # a piece as it is, or with one bit changed

# How each of `views` was turned, in their order.
TURNED = ("", "mirrored", "mirrored", "rotated", "mirrored", "rotated", "rotated", "mirrored")


def from_text(bits: str) -> int:
    return int(bits, 2)


def to_text(hash_: int) -> str:
    return f"{hash_:0{BITS}b}"


@lru_cache(4096)
def views(hash_: int) -> tuple[int, ...]:
    """The hash of the picture as it is, and of its seven other orientations."""
    bits = to_text(hash_)
    rows = [bits[start : start + SIDE] for start in range(0, BITS, SIDE)]
    transposed = from_text("".join(map("".join, zip(*rows, strict=True))))
    masks = (0, ODD_COLUMNS, ODD_ROWS, ODD_COLUMNS ^ ODD_ROWS)
    return tuple(upright ^ mask for upright in (hash_, transposed) for mask in masks)


def distance(one: int, other: int) -> tuple[int, str]:
    """Bits that differ at the orientation where they differ least, 0 to 128, and how it is turned there."""
    apart = [(view ^ other).bit_count() for view in views(one)]
    least = min(apart)
    return least, TURNED[apart.index(least)]


def probes(hash_: int) -> list[list[int]]:
    """For each of the 16 pieces, in order, the keys that its index has for at least one copy: see the module's text.

    Of every hash within 31 bits of this one, or of another view of it, some piece has a key that is listed for it.
    """
    upright, transposed = (_pieces(views(hash_)[n]) for n in (0, len(MIRRORS)))
    return [
        list({key(piece ^ change) for piece in pieces for change in CHANGES})
        for pieces in zip(upright, transposed, strict=True)
    ]


def key(piece: int) -> int:
    return min(piece ^ mask for mask in MIRRORS)


def keys(hash_: int) -> list[int]:
    """The keys of a hash's pieces, as the indexes of `image` hold them."""
    return [key(piece) for piece in _pieces(hash_)]


def _pieces(hash_: int) -> list[int]:
    return [(hash_ >> (BITS - SIDE * place)) & 0xFFFF for place in range(1, SIDE + 1)]

"""PDQ hashes as numbers: how far two pictures are apart, and where in an index their copies must be.

A hash is 256 bits, one for each of 16 × 16 frequencies of a picture (Meta's ThreatExchange). Turning or mirroring
the picture permutes its frequencies and changes the sign of some, so eight views of a hash are known from its bits
alone. They differ by a few bits from the hashes of the turned picture itself, but the eight are a group: the
distance of two hashes is the same from either side, and so does not depend on which came first.

Copies are found by multi-index hashing (Norouzi, Punjani, Fleet 2012): two hashes within 31 bits, cut into 11 pieces
of 23 or 24 bits, have a piece that differs in at most two. Mirroring changes those of a piece's bits that are in odd
columns, in odd rows, or in either; its key is the one of those four pieces in which two certain bits are 0, so that one
lookup serves four orientations. All copies of a hash are among those that share one of its `probes`: some 6,000 keys,
each of which one random hash in two to four million has, so that looking up the keys takes the time and not the hashes.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations

BITS = 256
SIDE = 16  # frequencies in a row, and rows
TELLING = 50  # quality, from 0 to 100
ODD_COLUMNS = int("01" * SIDE * (SIDE // 2), 2)
ODD_ROWS = int(("0" * SIDE + "1" * SIDE) * (SIDE // 2), 2)
VIEW_MASKS = (0, ODD_COLUMNS, ODD_ROWS, ODD_COLUMNS ^ ODD_ROWS)

# How each of `views` was turned, in their order.
TURNED = ("", "mirrored", "mirrored", "rotated", "mirrored", "rotated", "rotated", "mirrored")


def from_text(bits: str) -> int:
    return int(bits, 2)


def telling(bits: str | None, quality: int | None) -> int | None:
    """A stored hash; None for that of a blank or nearly blank picture, which says nothing."""
    return from_text(bits) if bits and (quality or 0) >= TELLING else None


def to_text(hash_: int) -> str:
    return f"{hash_:0{BITS}b}"


@lru_cache(4096)
def views(hash_: int) -> tuple[int, ...]:
    """The hash of the picture as it is, and of its seven other orientations."""
    bits = to_text(hash_)
    rows = [bits[start : start + SIDE] for start in range(0, BITS, SIDE)]
    transposed = from_text("".join(map("".join, zip(*rows, strict=True))))
    return tuple(upright ^ mask for upright in (hash_, transposed) for mask in VIEW_MASKS)


def distance(one: int, other: int) -> tuple[int, str]:
    """Bits that differ at the orientation where they differ least, 0 to 128, and how it is turned there."""
    apart = [(view ^ other).bit_count() for view in views(one)]
    least = min(apart)
    return least, TURNED[apart.index(least)]


# --- keys ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """`width` bits of a hash from bit `start` on, counted from its first.

    `columns` and `rows` are those of its bits that mirroring changes, `column` and `row` the place from the right of
    one that only the one or the other changes.
    """

    start: int
    width: int
    columns: int
    rows: int
    column: int
    row: int

    def key(self, hash_: int) -> int:
        """The same for the hash and its mirrored views. The key of a XOR is the XOR of the keys."""
        piece = (hash_ >> (BITS - self.start - self.width)) & ((1 << self.width) - 1)
        return piece ^ (piece >> self.column & 1) * self.columns ^ (piece >> self.row & 1) * self.rows

    @property
    def sql(self) -> str:
        """The key of the column `pdq`, as the index and the search spell it, with the parentheses of PostgreSQL."""
        piece = f"SUBSTRING(pdq FROM {self.start + 1} FOR {self.width})::bit({self.width})::integer"
        column = f"((({piece} >> {self.column}) & 1) * {self.columns})"
        row = f"((({piece} >> {self.row}) & 1) * {self.rows})"
        return f"(({piece} # {column}) # {row})"


def _piece(start: int, width: int) -> Piece:
    columns, rows = ((mask >> (BITS - start - width)) & ((1 << width) - 1) for mask in (ODD_COLUMNS, ODD_ROWS))
    column, row = ((mine & ~other).bit_length() - 1 for mine, other in ((columns, rows), (rows, columns)))
    return Piece(start, width, columns, rows, column, row)


WIDTHS = (24, 24, 24, *(23,) * 8)
PIECES = tuple(map(_piece, accumulate(WIDTHS, initial=0), WIDTHS))
FARTHEST = 3 * len(PIECES) - 1  # bits, the largest radius that `probes` serve: one more, and all could differ in three


def _changes(piece: Piece) -> list[int]:
    """The keys of what differs in at most two of the piece's bits."""
    first = BITS - piece.start - piece.width
    bits = [1 << bit for bit in range(first, first + piece.width)]
    return [0, *map(piece.key, bits), *(piece.key(one | other) for one, other in combinations(bits, 2))]


CHANGES = tuple(map(_changes, PIECES))


def keys(hash_: int) -> list[int]:
    """The keys of a hash's pieces, as the indexes of `image` hold them."""
    return [piece.key(hash_) for piece in PIECES]


def probes(hash_: int) -> list[set[int]]:
    """For each of the pieces, in order, the keys that its index has for at least one copy: see the module's text.

    Of every hash within 31 bits of this one, or of another view of it, some piece has a key that is listed for it.
    """
    upright, transposed = (keys(views(hash_)[n]) for n in (0, len(VIEW_MASKS)))
    return [
        {mine ^ change for mine in both for change in changes}
        for *both, changes in zip(upright, transposed, CHANGES, strict=True)
    ]

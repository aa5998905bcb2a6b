"""The sums that hold of whatever a reader yields."""

from collections import Counter
from collections.abc import Iterable, Sequence

from app.intake.records import Ignored, Item, Record, Refused
from app.intake.trees import FileTree


def assert_accounted(items: Iterable[Item], tree: FileTree) -> None:
    """Every file of a tree, and every name of it that can't be opened, is in exactly one item."""
    seen = Counter(file for item in items for file in ((item.file,) if isinstance(item, Ignored) else item.files))
    assert seen == Counter([entry.name for entry in tree.entries] + [name for name, _ in tree.unsafe])


def entries(items: Sequence[Item]) -> int:
    """Pictures of posts, and refused entries."""
    taken = sum(len(item.pictures) for item in items if isinstance(item, Record))
    return taken + sum(item.entry for item in items if isinstance(item, Refused))

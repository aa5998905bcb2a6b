"""Folders as Instaloader writes them, and what the reader says of them."""

import json
import lzma
from pathlib import Path
from typing import Any

from app.intake.formats import instaloader
from app.intake.records import Item, Record, Refused
from app.intake.trees import FolderTree
from tests.intake.accounting import assert_accounted

STEM = "2024-03-01_10-20-30_UTC"
CODE = "C4abcDEF123"
AT = 1709288430


def graph(**values: Any) -> dict[str, Any]:
    """A post's node as the graph API gave it."""
    node: dict[str, Any] = {
        "__typename": "GraphImage",
        "id": "3312345678901234567",
        "shortcode": CODE,
        "taken_at_timestamp": AT,
        "owner": {"id": "77", "username": "path_demo_01", "biography": "never read"},
        "dimensions": {"width": 1080, "height": 1350},
        "edge_media_to_caption": {"edges": [{"node": {"text": "Basal cell carcinoma."}}]},
    }
    return node | values


def children(count: int, **values: Any) -> dict[str, Any]:
    edges = [{"node": {"display_url": f"https://cdn.example/{n}_n.jpg?x=1", "is_video": False}} for n in range(count)]
    return {"__typename": "GraphSidecar", "edge_sidecar_to_children": {"edges": edges}} | values


def stamped(node: dict[str, Any], kind: str = "Post") -> dict[str, Any]:
    return {"node": node, "instaloader": {"version": "4.16", "node_type": kind}}


class Folder:
    """A folder being written, and what the reader says of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, name: str, data: bytes = b"\xff\xd8picture") -> "Folder":
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self

    def meta(self, whole: dict[str, Any], name: str = f"{STEM}.json.xz") -> "Folder":
        data = json.dumps(whole).encode()
        return self.file(name, lzma.compress(data, check=lzma.CHECK_NONE) if name.endswith(".xz") else data)

    def read(self) -> list[Item]:
        tree = FolderTree(self.root)
        items = list(instaloader.read(tree))
        assert items == list(instaloader.read(tree)), "the order is fixed"
        assert_accounted(items, tree)
        return items

    def records(self) -> list[Record]:
        return [item for item in self.read() if isinstance(item, Record)]

    def record(self) -> Record:
        (record,) = self.records()
        return record

    def refused(self) -> list[Refused]:
        return [item for item in self.read() if isinstance(item, Refused)]

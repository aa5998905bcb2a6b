"""What a release says of itself beside its pairs; frozen with them, so that a rebuild says the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.snapshots.member import RELEASED


@dataclass(frozen=True)
class SnapshotInfo:
    """A snapshot's row, in plain values.

    `counts`: pairs by split, reserve included. `shards`, `tables`: files by released split.
    `reserve`: keys of the reserve. `split_report`: a SplitReport as a dict, with its sentences as
    "shortfalls". `funnel`, `rejections`, `reviewing`: what is counted → how many. The order of these
    mappings is of no account, for a database's JSON does not keep it.
    """

    number: int
    seed: int
    frozen_at: datetime
    counts: Mapping[str, int]
    shards: Mapping[str, int]
    tables: Mapping[str, int]
    versions: Mapping[str, str]
    reserve: Sequence[str] = ()
    title: str = "Pathology image–caption pairs"
    note: str = ""
    contact: str = ""
    licence: str = ""
    split_report: Mapping[str, Any] = field(default_factory=dict)
    funnel: Mapping[str, int] = field(default_factory=dict)
    rejections: Mapping[str, int] = field(default_factory=dict)
    reviewing: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the folder is called: v0007."""
        return f"v{self.number:04d}"

    @property
    def splits(self) -> list[str]:
        """Released splits that hold pairs; an empty split has no files."""
        return [split for split in RELEASED if self.counts.get(split)]

    @property
    def released(self) -> int:
        """Pairs in the files."""
        return sum(self.counts[split] for split in self.splits)

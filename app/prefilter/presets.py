"""Thresholds that others started from, with where they are written. A preset is only ever previewed."""

from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from app.prefilter.limits import Limits


@dataclass(frozen=True)
class Preset:
    """A named starting point of a stage; `threshold` is None where the source gives none that can be used here.

    `limits` are of the quality stage.
    """

    stage: str
    name: str
    threshold: float | None
    note: str
    source: str
    limits: Limits | None = None

    @property
    def query(self) -> str:
        """What previews it, after the `?` of its stage's address; "" where there is nothing to preview."""
        if self.limits:
            return urlencode(asdict(self.limits))
        return "" if self.threshold is None else urlencode({"threshold": self.threshold})


WAON = "arXiv 2510.22276"
IPATH = "IPATH README and abstract"

PRESETS = (
    Preset(
        "quality",
        "WAON",
        None,
        "drops a shorter side below 150 px and an aspect beyond 1:2; its line at 32 colours, which are not counted "
        "here, is left out, and it has none on sharpness, which the threshold is about",
        WAON,
        Limits(150, 2.0),
    ),
    Preset(
        "domain",
        "Quilt-1M",
        0.5,
        "a frame stays once one of its classifiers calls it histology, which is a classifier's own line",
        "Quilt-1M's data code",
    ),
    Preset(
        "domain", "IPATH", None, "was filtered by classifiers; which, and at what thresholds, is unpublished", IPATH
    ),
    Preset(
        "caption",
        "IPATH",
        None,
        "was filtered by GPT-4o mini and by hand; what was asked and how much fell is not published",
        IPATH,
    ),
    Preset(
        "alignment",
        "WAON",
        0.25,
        "keeps a SigLIP2 cosine of 0.1 or more, which is 0.25 on this scale; another model's cosines differ",
        WAON,
    ),
    Preset("alignment", "IPATH", None, "names no score of picture and caption", IPATH),
)


def presets_of(stage: str) -> list[Preset]:
    """A stage's presets, those that can be previewed first."""
    return sorted((preset for preset in PRESETS if preset.stage == stage), key=lambda preset: not preset.query)

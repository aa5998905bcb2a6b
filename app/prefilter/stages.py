"""The stages of the pre-filter in their order: cheap before dear.

Each has a file of the same name in `workers/stages/`; a test asserts that the two sets are equal.
"""

from dataclasses import dataclass

from app.tables.operation import WorkQueue


@dataclass(frozen=True)
class Stage:
    """A stage as code knows it. `version` rises when its findings would differ on the same input."""

    name: str
    title: str
    does: str
    version: str
    queue: WorkQueue
    batch: int
    has_threshold: bool


STAGES = (
    Stage("quality", "Quality", "Readable, sharp, large enough", "1", WorkQueue.CPU, 32, True),
    Stage(
        "embedding",
        "Embedding",
        "Drops nothing; later stages and search need it",
        "1",
        WorkQueue.GPU,
        32,
        False,
    ),
    Stage("sameness", "Sameness", "One of each picture with the same caption", "1", WorkQueue.CPU, 32, False),
    Stage("domain", "Histology", "Micrographs, not people, places or slides", "1", WorkQueue.GPU, 32, True),
    Stage("panels", "Panels and overlays", "Drops nothing; finds what is not the image", "1", WorkQueue.CPU, 32, False),
    Stage("faces", "Faces", "Recognisable people in the picture", "1", WorkQueue.CPU, 16, False),
    Stage(
        "writing", "Writing", "Words burned into the picture, and private details in them", "1", WorkQueue.CPU, 8, False
    ),
    Stage("caption", "Caption", "Text that describes the image, cleaned by rules", "1", WorkQueue.CPU, 100, True),
    Stage("private", "Private details", "What in the caption may identify a patient", "1", WorkQueue.CPU, 32, False),
    Stage("language", "Language", "Captions in the languages that are reviewed", "1", WorkQueue.CPU, 100, False),
    Stage("llm", "Language model", "Relevance, a cleaner caption and its fields", "1", WorkQueue.LLM, 32, True),
    Stage("alignment", "Alignment", "Caption and image belong together", "1", WorkQueue.GPU, 16, True),
)

BY_NAME = {stage.name: stage for stage in STAGES}
NAMES = tuple(BY_NAME)


def after(name: str) -> Stage | None:
    """The stage that follows, None after the last."""
    following = NAMES.index(name) + 1
    return STAGES[following] if following < len(STAGES) else None


def from_here_on(name: str) -> tuple[str, ...]:
    """The stage and all that follow it."""
    return NAMES[NAMES.index(name) :]

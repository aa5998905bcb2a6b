"""From post to pair: every candidate in exactly one place, from counts that were taken together."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.prefilter.stages import STAGES

PASSED = {
    "quality": "Readable",
    "sameness": "Not a duplicate",
    "domain": "Histopathology",
    "caption": "Caption usable",
}


@dataclass(frozen=True)
class Step:
    """A row of the funnel. `lost` candidates of the row before are not in this one: `query` lists them,
    `note` says where they are when they are not dropped."""

    label: str
    count: int
    lost: int
    note: str
    fill: str
    query: str


@dataclass(frozen=True)
class Funnel:
    steps: list[Step]
    images: int
    accepted_images: int

    @property
    def imported(self) -> int:
        return self.steps[0].count

    @property
    def accepted(self) -> int:
        return self.steps[-1].count

    @property
    def costliest(self) -> Step | None:
        """The stage that stops most."""
        stages = [step for step in self.steps if step.label in PASSED.values() and step.lost]
        return max(stages, key=lambda step: step.lost, default=None)


def funnel(counts: Mapping[str, int]) -> Funnel:
    """The funnel of `counts`: state → candidates, `filtered_out:STAGE` → those that stage stopped,
    `flagged:STAGE` → those that it holds for an admin, and distinct pictures as `images` and `images:accepted`.

    Each row is the row before less what was lost on the way, so that the sums are equal by construction.
    """
    held = sum(counts.get(f"flagged:{stage.name}", 0) for stage in STAGES)
    decided = sum(counts.get(state, 0) for state in ("accepted", "rejected", "flagged", "conflicted")) - held
    coming = counts.get("incoming", 0) + counts.get("filtering", 0)
    stopped = {stage.name: counts.get(f"filtered_out:{stage.name}", 0) for stage in STAGES}
    left = decided + coming + counts.get("queued", 0) + sum(stopped.values()) + held
    steps = [Step("Imported", left, 0, "", "f5", "")]
    for name, lost in stopped.items():
        if name in PASSED or lost:
            left -= lost
            steps.append(Step(PASSED.get(name, name.capitalize()), left, lost, "", "f5", f"stopped={name}"))
    if held:
        left -= held
        steps.append(Step("Nothing private", left, held, "held", "f5", "state=flagged"))
    if coming:
        left -= coming
        query = "state=incoming&state=filtering"
        steps.append(Step("Through the stages", left, coming, "in the stages", "f5", query))
    steps.append(Step("Reviewed", decided, counts.get("queued", 0), "wait", "f1", "state=queued"))
    accepted = counts.get("accepted", 0)
    not_taken = "state=rejected&state=flagged&state=conflicted"
    steps.append(Step("Accepted", accepted, decided - accepted, "", "f3", not_taken))
    return Funnel(steps, counts.get("images", 0), counts.get("images:accepted", 0))

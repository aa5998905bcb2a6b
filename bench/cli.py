"""`python -m bench [--scale 0.1] [NAME ...]`: runs all figures, or the named ones."""

import argparse
import signal
import sys
from types import FrameType

from bench import (
    assets,
    carousel,
    classifier,
    embedding,
    endpoint,
    evaluating,
    faithfulness,
    importing,
    listing,
    llm_stage,
    machine,
    matrix,
    near_duplicates,
    panels,
    previews,
    privacy,
    private_details,
    reviewing,
    sameness,
    search,
    shared_views,
    snapshots,
    stages,
    starting,
    thresholds,
    training,
)
from bench.figures import show
from bench.ground import prepared

BENCHES = {
    "review": reviewing,
    "list": listing,
    "search": search,
    "import": importing,
    "snapshot": snapshots,
    "embedding": embedding,
    "endpoint": endpoint,
    "llm-stage": llm_stage,
    "start": starting,
    "assets": assets,
    "panels": panels,
    "classifier": classifier,
    "thresholds": thresholds,
    "previews": previews,
    "stages": stages,
    "sameness": sameness,
    "near-duplicates": near_duplicates,
    "shared-views": shared_views,
    "privacy": privacy,
    "private-details": private_details,
    "faithfulness": faithfulness,
    "carousel": carousel,
    "evaluation": evaluating,
    "matrix": matrix,
    "training": training,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=sys.modules["bench"].__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(BENCHES)}; all if none")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the full counts, for a quick look")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - BENCHES.keys():
        parser.error(f"there is no figure named {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, stop)
    print(machine.describe(), end="\n\n", flush=True)
    with prepared(chosen.scale) as ground:
        for name in chosen.names or BENCHES:
            show(name, BENCHES[name].run(ground))
    return 0


def stop(_number: int, _frame: FrameType | None) -> None:
    """A polite kill ends like Ctrl-C: everything that was started is stopped and removed."""
    raise KeyboardInterrupt

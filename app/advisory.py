"""Numbers of PostgreSQL's advisory locks: one for each thing that one at a time does, in whatever process."""

SWEEP_JOBS = 20419
GROUP_COPIES = 20420
FREEZE_SNAPSHOT = 20421
TIDY = 20422
LAUNCH_RUN = 20423
LAUNCH_EVALUATION = 20424
FINISH_EVALUATION = 20425

# With an encoder's id beside them:
USE_ENCODER = 20421
INDEX_ENCODER = 20422

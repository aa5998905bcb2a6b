"""Whether this worker was asked to end: jobs that run for hours look at it, and give their work back."""

import threading

asked = threading.Event()

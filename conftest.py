"""For every test of the workspace."""

import signal

# A shell that starts a run in the background has it ignore SIGINT, and every process that a test starts would inherit
# that; what is tested here must hear Ctrl-C as it does in a person's terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

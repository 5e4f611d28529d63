"""What is known of the market: domain, events, state, and the one place where a row of features is computed."""

import os

# Before any library reads it: threads of OpenMP that wait for each other must not keep a core that another program, or
# the one they wait for, could use. Beside other work a fit took three times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

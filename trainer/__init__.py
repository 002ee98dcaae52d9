"""Makes models from folders of pictures and proves them before a node accepts them."""

import os

# torch's threads wait by spinning; beside any other load (a node on the same gateway) that made an epoch up to
# thirteen times as long. Read when torch is first imported, which is after this in everything that trains.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

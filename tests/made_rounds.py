"""What rounds of a stand-in saw of stores, made up for tests."""

from memslotlib.host.switched import Stores

#: Nothing leaked, nothing was lost, and the log named what was written.
WELL = Stores(
    leaked=False,
    kept=True,
    intact=True,
    changed=False,
    sent=True,
    shut=False,
    first=True,
    then=True,
    idle=False,
)

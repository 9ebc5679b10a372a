"""Learning to run the network: environments over the twin, for one agent or one per cell."""

from importlib.util import find_spec

if find_spec("gymnasium") is not None:  # the core needs it not
    from cellhive.rl.registration import register

    register()

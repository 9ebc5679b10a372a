"""Learning policies: networks, losses and updates. Needs torch (``pip install '.[train]'``)."""

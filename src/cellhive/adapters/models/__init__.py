"""Where trained models are kept: an embedded store, plain folders, and what follows a champion."""

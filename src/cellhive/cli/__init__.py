"""The command line: what people type, and what they are told when it cannot be."""

import os

# Matrices here are small: threads of BLAS only wait for one another, and burn processor time
# where other programs need it. Read when NumPy and torch are loaded, so it comes before them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from cellhive.cli.root import app, main  # noqa: E402

__all__ = ["app", "main"]

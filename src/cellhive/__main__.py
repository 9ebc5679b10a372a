"""Where ``cellhive`` and ``python -m cellhive`` begin."""

import sys


def main() -> None:
    """Load the commands and run one; Ctrl-C while they load is no error of theirs."""
    try:
        from cellhive.cli import main as run  # noqa: PLC0415  # what takes the time
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

"""The command line: python -m metairm_np.run EXPERIMENT, paper, search, list, status or report."""

import sys

from metairm_np.cli import main

if __name__ == "__main__":
    sys.exit(main())

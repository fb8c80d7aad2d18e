"""Where ``webdancer_cli.data.records`` was up to 0.1; this name goes with 0.3."""

import sys

from webdancer_cli.data import records

sys.modules[__name__] = records

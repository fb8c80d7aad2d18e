"""What each command can be told: one dataclass per command, each field documented under itself, defaults only here.

They stand by groups of commands in the files beside this one, and all can be had from here. The flags take their
defaults from these classes, so the files must stay importable in milliseconds: no torch, no httpx. (Plain dataclasses
without slots: a field's default can then be read from the class.) Options check themselves when they are made, whoever
makes them: the bounds in the annotations, and what cannot hold together (``option_checks``). What is wrong is a
UsageError that names the flag, the value and the remedy.
"""

# ruff: noqa: F403

from webdancer_cli.options.episode_options import *
from webdancer_cli.options.file_options import *
from webdancer_cli.options.question_options import *
from webdancer_cli.options.scale_options import *
from webdancer_cli.options.shared_options import *
from webdancer_cli.options.training_options import *

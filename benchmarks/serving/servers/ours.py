"""interchange.serving in a process of its own.

python ours.py MODELS SETTINGS.toml
"""

import signal
import sys

from interchange.serving.configuration import configure
from interchange.serving.server import Server

source, file = sys.argv[1:]
with Server(source, configure(file)):
    signal.sigwait({signal.SIGTERM, signal.SIGINT})

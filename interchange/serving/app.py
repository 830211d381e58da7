"""What every door works on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interchange.serving.access import Access
from interchange.serving.engine import Engine
from interchange.serving.settings import Settings

if TYPE_CHECKING:
    from interchange.serving.observing import Observer
    from interchange.serving.operations import Operations


@dataclass
class App:
    """One serving process: its settings, its engine, who may ask it, and what beside inference it answers.

    draining: /v2/health/ready says no, requests are still answered.  connections: of the HTTP door.
    observers: told of every request that was answered; mostly there is none, and then nothing is done for them.
    """

    settings: Settings
    engine: Engine
    access: Access
    operations: Operations
    draining: bool = False
    connections: int = 0
    started: float = field(default_factory=time.time)
    observers: tuple[Observer, ...] = ()

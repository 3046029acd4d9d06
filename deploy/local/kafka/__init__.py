"""A real Apache Kafka broker on one machine, from Python packages alone: no system Java, Maven or container.

`LocalKafka` is the library face, `python -m deploy.local.kafka` the command.
"""

from deploy.local.kafka.broker import LocalKafka
from deploy.local.kafka.errors import LauncherError

__all__ = ["LauncherError", "LocalKafka"]

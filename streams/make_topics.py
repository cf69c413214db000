"""Creates the topics on any Kafka, as the settings say: what a deployment runs once, before the agents.

python -m streams.make_topics
"""

import asyncio
import logging
import sys

from streams.admin import ensure_topics
from streams.errors import StreamsError
from streams.settings import Settings


def main() -> None:
    """Creates what is missing and warns of what is different.

    Raises:
        StreamsError: no broker answers, or it refuses.
    """
    logging.basicConfig(format="%(message)s")
    settings = Settings.load()
    asyncio.run(ensure_topics(settings.brokers, settings.partitions, settings.retention_days))


if __name__ == "__main__":
    try:
        main()
    except StreamsError as error:
        sys.exit(str(error))

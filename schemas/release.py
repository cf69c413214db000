"""`python -m schemas.release`: writes every topic's `.avsc`; with --freeze, adds it to what has been released for ever."""

import argparse
import json
from pathlib import Path

from schemas.avro import fingerprint, schema_of
from schemas.topics import TOPICS

_HERE = Path(__file__).parent


def main() -> None:
    """Rewrites `schemas/avsc/`, and freezes the current schemas when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--freeze", action="store_true", help="also add the current schemas to schemas/released/, where they stay")
    freeze = parser.parse_args().freeze
    for topic in TOPICS.values():
        schema = schema_of(topic.record)
        text = json.dumps(schema, indent=2) + "\n"
        (_HERE / "avsc" / f"{topic.name}.avsc").write_text(text)
        if freeze:
            released = _HERE / "released" / topic.name / f"{fingerprint(schema).hex()}.avsc"
            released.parent.mkdir(parents=True, exist_ok=True)
            released.write_text(text)


if __name__ == "__main__":
    main()

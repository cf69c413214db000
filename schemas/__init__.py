"""The contract: one Avro schema and one frozen model per topic, the codec, CloudEvents, and the table of topics."""

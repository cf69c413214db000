"""Kafka and Faust: the worker of declared agents, transactions, views, the SDK, replay and export, and the local platform."""

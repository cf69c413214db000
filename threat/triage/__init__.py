"""Triage measured on NSL-KDD: boosting, two views of novelty and the quantum classifier, each with what it adds."""

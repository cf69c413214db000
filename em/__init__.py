"""Error mitigation: circuits, observables, methods, and the execution of routed jobs."""

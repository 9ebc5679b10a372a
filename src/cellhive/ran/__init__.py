"""The radio network: physics, counters, parameters, rules and the guard, as pure functions."""

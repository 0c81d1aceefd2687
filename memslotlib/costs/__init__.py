"""What an update of memslots costs: steps of the model, waits and faults of a host, and its times.

Contenders take turns within one process, round after round, and what is said is said of ratios
within a round: what slows a machine down for longer than that slows all of them. Times are those
of the host that is named beside them, and of no other.
"""

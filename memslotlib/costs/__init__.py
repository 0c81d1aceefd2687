"""What an update of memslots costs: steps counted in the model, waits and faults counted and times
measured on this host.

Contenders take turns within one process, round after round, and what is said is said of ratios
within a round: what slows a machine down for longer than that slows all of them. Times are those of
the host that is named beside them, and of no other.
"""

"""The simulator held against a kernel: one table of cases, and random calls, for any two VMs."""

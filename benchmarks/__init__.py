"""Opt-in measurements: ratios in one run, never part of a test."""

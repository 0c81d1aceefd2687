"""Traces and models for other tools: JSON, sequence diagrams, tests, the languages of checkers."""

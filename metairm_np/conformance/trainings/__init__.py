"""Whole trainings: what another framework needs to train the same trial, and what came of it."""

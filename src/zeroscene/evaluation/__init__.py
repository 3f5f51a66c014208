"""Metrics, the honest protocol, calibration, the benchmark runner, the report."""

"""Pictures and their labels: folder data sets, known benchmarks, splits, decoding."""

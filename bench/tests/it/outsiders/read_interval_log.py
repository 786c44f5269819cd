"""Merges an interval log with HdrHistogram's Python implementation; prints what it read as JSON."""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

HOUR_NS = 3_600_000_000_000

whole = HdrHistogram(1, HOUR_NS, 3)
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, HOUR_NS, 3))
intervals = 0
while (interval := reader.get_next_interval_histogram()) is not None:
    whole.add(interval)
    intervals += 1
print(
    json.dumps(
        {
            "intervals": intervals,
            "count": whole.get_total_count(),
            "p50_ns": whole.get_value_at_percentile(50),
            "p99_ns": whole.get_value_at_percentile(99),
            "max_ns": whole.get_max_value(),
        }
    )
)

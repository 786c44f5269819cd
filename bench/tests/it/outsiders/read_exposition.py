"""Parses a Prometheus exposition with Prometheus' own Python parser; prints its samples as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.read()))
samples = [
    {"type": family.type, "help": family.documentation, "name": s.name, "labels": s.labels, "value": s.value}
    for family in families
    for s in family.samples
]
print(json.dumps(samples))

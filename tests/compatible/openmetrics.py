"""Reads metrics in the format of OpenMetrics from standard input with Prometheus's own strict parser, and prints the name, the
type and the unit of each family."""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, family.unit or "-")

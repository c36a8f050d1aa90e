"""Suite of `dropped`: whatever was left out says where and why."""

from expectations.rules import not_null, unique
from tasks.tables import DROPPED

EXPECTATIONS = [*not_null("table_name", "id", "stage", "reason"), unique(*DROPPED.key)]

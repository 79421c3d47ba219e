"""Shards own registry slots: functions, triggers, trigger types and services, and who watches them."""

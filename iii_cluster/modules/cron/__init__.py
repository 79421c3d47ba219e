"""Cron: functions called at times that an expression names, once in the whole cluster."""

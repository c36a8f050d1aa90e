"""What each stage does: functions from tables to tables; knows nothing of Prefect or clusters."""

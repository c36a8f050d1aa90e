"""What each stage does: functions from tables to tables; knows nothing of Prefect.

A stage runs in the process that calls it, but for what models do. That is a job (`work.job.Job`): data, which the stage hands to
a function that it was given, and which does its work through Ray Data on the cluster that its process is connected to. Which
cluster that is, one here, one that exists or one made by KubeRay, is the business of `flows.running.clusters` and `infra`.
"""

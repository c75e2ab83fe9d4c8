"""The MLflow server that `tracking.mlflow.uri: auto` means: a container, or a process."""

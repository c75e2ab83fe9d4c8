"""Run fine-tuning jobs: read the job, prove the data, plan, launch, supervise, record."""

__version__ = "0.1.0"

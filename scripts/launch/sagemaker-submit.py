"""Submits a pretraining job to SageMaker's MPI launcher (Python SDK 2).

The image is that of scripts/launch/Dockerfile with `USER root`, python3 and `pip install sagemaker-training` added: that
toolkit reads the hyperparameters named sagemaker_*, starts sshd on all hosts and calls mpirun on the first.

    python scripts/launch/sagemaker-submit.py IMAGE ROLE s3://bucket/corpus s3://bucket/runs/pre
"""

import sys

from sagemaker.estimator import Estimator

image, role, corpus, run = sys.argv[1:]
Estimator(
    image_uri=image,
    role=role,
    instance_count=4,
    instance_type="ml.c7i.24xlarge",
    source_dir="scripts/launch",
    entry_point="sagemaker-entry.sh",
    # Copied to and from S3 as the run writes it, so that a job started again goes on from the newest checkpoint.
    checkpoint_s3_uri=run,
    checkpoint_local_path="/opt/ml/checkpoints",
    hyperparameters={
        "sagemaker_mpi_enabled": True,
        "sagemaker_mpi_num_of_processes_per_host": 4,
        "sagemaker_mpi_custom_mpi_options": "--bind-to none",
        "size": "base",
        "batch": 256,
        "steps": 100000,
    },
).fit({"corpus": corpus})

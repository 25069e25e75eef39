#!/bin/bash
# Entry point of every rank in a SageMaker training job; hyperparameters arrive as its arguments.
set -euo pipefail
resume=()
[ -d /opt/ml/checkpoints/run/checkpoints ] && resume=(--resume)
exec precess pretrain --corpus "$SM_CHANNEL_CORPUS" --run /opt/ml/checkpoints/run "${resume[@]}" "$@"

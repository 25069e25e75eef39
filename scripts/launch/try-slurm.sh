#!/usr/bin/env bash
# Tries slurm.sbatch on a one-node Slurm of this machine: two ranks train, the warning before the time limit stops them
# with a checkpoint, the job is requeued, goes on and ends. Not part of CI. As root, on Debian with
#   apt-get install slurmctld slurmd slurm-client munge openmpi-bin libopenmpi-dev
# Usage: scripts/launch/try-slurm.sh CORPUS   (a corpus made by "precess ingest")
set -euo pipefail
corpus=$(realpath "${1:?a corpus folder}")
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
mkdir "$work/state" "$work/spool"
export SLURM_CONF=$work/slurm.conf
host=$(hostname -s)
cat > "$SLURM_CONF" <<CONF
ClusterName=try
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
NodeName=$host CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
CONF
if ! munge -n >/dev/null 2>&1; then
  mkdir -p /run/munge && chown munge /run/munge
  runuser -u munge -- munged
fi
slurmctld
slurmd
trap 'scancel --quiet --user root; kill "$(cat "$work/slurmd.pid")" "$(cat "$work/slurmctld.pid")"' EXIT
until sinfo --noheader --states idle 2>/dev/null | grep -q idle; do sleep 1; done

cd "$work"
job=$(PRECESS=$root/bin/precess CORPUS=$corpus RUN=$work/run sbatch --parsable --ntasks 2 \
  "$root/scripts/launch/slurm.sbatch" --steps 40 --batch 4 --probe-every 1000)
steps() { cat "$work/run/metrics.jsonl" 2>/dev/null | wc -l; }
state() { scontrol show job "$job" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p'; }
until [ "$(steps)" -ge 3 ]; do sleep 1; done
scancel --signal=USR2 --batch "$job"
until [ "$(state)" = PENDING ]; do sleep 1; done
echo "stopped and requeued after step $(steps): $(ls "$work/run/checkpoints")"
# Slurm waits two minutes before it starts a requeued job; not here.
sleep 3
scontrol update jobid="$job" StartTime=now
until [ "$(state)" = COMPLETED ] || [ "$(state)" = FAILED ]; do sleep 1; done
echo "ended $(state) after step $(steps): $(ls "$work/run/checkpoints")"
cut -d, -f1 "$work/run/metrics.jsonl" | uniq --repeated | sed 's/^/written twice: /'
[ "$(state)" = COMPLETED ] && [ "$(steps)" = 40 ]

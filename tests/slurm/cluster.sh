#!/usr/bin/env bash
# Run a command beside a SLURM of one node that is there for this command alone:  tests/slurm/cluster.sh COMMAND...
#
# In namespaces of its own: nothing on the network sees it, its files lie on a file system in memory, and all its
# processes end with the command. SLURM_PREEMPT: CANCEL in place of REQUEUE.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
    for program in munged slurmctld slurmd sbatch ip unshare; do
        PATH=$PATH:/usr/sbin:/sbin command -v $program > /dev/null || {
            echo "error: $program is missing; on Debian: apt-get install --no-install-recommends slurm-wlm munge iproute2" >&2
            exit 2
        }
    done
    [ "$(id -u)" = 0 ] || { echo "error: only root may start a SLURM; try it in a container" >&2; exit 2; }
    unshare --net --mount --uts --pid --fork --mount-proc --kill-child true || {
        echo "error: this container allows no namespaces; give it --privileged, or CAP_SYS_ADMIN" >&2
        exit 2
    }
    exec unshare --net --mount --uts --pid --fork --mount-proc --kill-child "$0" --inside "$@"
fi
shift

PATH=$PATH:/usr/sbin:/sbin
hostname trial
ip link set lo up
ip address add 10.255.255.254/32 dev lo  # getaddrinfo hangs without an address beside 127.0.0.1
# Jobs drop SLURM_CONF, so the configuration has to lie where all of SLURM looks for it.
mount -t tmpfs tmpfs /etc/slurm
cd /etc/slurm
mkdir state spool
(umask 077 && head -c 1024 /dev/urandom > key)
cat > slurm.conf << CONF
ClusterName=trial
SlurmctldHost=trial(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$PWD/socket
StateSaveLocation=$PWD/state
SlurmdSpoolDir=$PWD/spool
SlurmctldPidFile=$PWD/slurmctld.pid
SlurmdPidFile=$PWD/slurmd.pid
SlurmctldLogFile=$PWD/slurmctld.log
SlurmdLogFile=$PWD/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=${SLURM_PREEMPT:-REQUEUE}
JobRequeue=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=trial NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
PartitionName=low Nodes=trial Default=YES PriorityTier=1
PartitionName=high Nodes=trial PriorityTier=2
CONF
cd - > /dev/null
munged --origin=127.0.0.1 --key-file=/etc/slurm/key --socket=/etc/slurm/socket --pid-file=/etc/slurm/munged.pid \
    --log-file=/etc/slurm/munged.log --seed-file=/etc/slurm/seed
slurmctld
slurmd
ready() { [ "$(sinfo --noheader --partition=low --format=%T 2> /dev/null)" = idle ]; }
for _ in $(seq 60); do ready && break || sleep 0.5; done
ready || { cat /etc/slurm/*.log >&2; echo "error: SLURM did not start" >&2; exit 1; }
"$@"

#!/usr/bin/env bash
# A private Slurm cluster on this machine: munged, slurmctld and two slurmd on loopback, everything in one folder.
#
#   cluster.sh FOLDER COMMAND...   runs the command in the cluster, then stops the cluster
#   cluster.sh FOLDER              says `ready` when the cluster is up; when standard input ends, stops and removes FOLDER
#
# Whoever wants to use the cluster sets SLURM_CONF=FOLDER/slurm.conf; a command has it set. Root is not needed, nothing
# outside FOLDER is written. Nodes n1 and n2 with CLUSTER_CPUS (2) processors each; partitions `main`, and `closed`, which
# takes jobs but starts none. With CLUSTER_HIDE=FOLDER, n2 finds that folder empty (this needs root).
set -uo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
unset SLURM_CONF

fail() {
    echo "cluster.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || fail "which folder? cluster.sh FOLDER [COMMAND...]"
mkdir -p "$1" || exit 1
folder=$(cd "$1" && pwd)
shift
conf=$folder/slurm.conf
# The path of a socket has at most 107 characters.
[ ${#folder} -le 90 ] || fail "the path $folder is too long for the sockets in it"
[ ! -e "$conf" ] || fail "$folder holds a cluster already"
for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || fail "$program is not installed (apt-get install slurm-wlm munge)"
done

# What belongs to the cluster: daemons have this variable, slurmstepd works in its folder, and what runs in a job has a
# job's number beside the cluster's configuration.
mark=HTL_TEST_CLUSTER=$folder
processes() {
    local environ
    {
        grep -lzxF "$mark" /proc/[0-9]*/environ
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$folder/*"
        for environ in $(grep -lzxF "SLURM_CONF=$conf" /proc/[0-9]*/environ); do
            grep -qz '^SLURM_JOB_ID=' "$environ" && echo "$environ"
        done
    } 2>/dev/null | tr -dc '0-9\n' | sort -u
}

stop() {
    trap - EXIT INT TERM HUP
    if [ -e "$conf" ]; then
        timeout 3 env SLURM_CONF="$conf" scancel --quiet --full --signal=KILL --user="$(id -un)" >/dev/null 2>&1
        timeout 3 env SLURM_CONF="$conf" scancel --quiet --user="$(id -un)" >/dev/null 2>&1
    fi
    local signal
    for signal in TERM KILL; do
        for _ in $(seq 30); do
            local left
            left=$(processes)
            [ -n "$left" ] || return 0
            # shellcheck disable=SC2086
            kill "-$signal" $left 2>/dev/null
            sleep 0.1
        done
    done
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

free_port() { # nobody answers there; below those that the system gives to clients
    local port
    while :; do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

user=$(id -un)
host=$(hostname -s)
mkdir -p "$folder"/{munge,state,log,spool/n1,spool/n2}
chmod 755 "$folder"
chmod 700 "$folder/munge"
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"

cat >"$conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
PlugStackConfig=$folder/plugstack.conf
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobs.txt
# Both nodes are this machine, and may pretend to have more processors than it has.
SlurmdParameters=config_overrides
# Short times: tests wait for each of them.
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=3
MinJobAge=300
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
MessageTimeout=5
BatchStartTimeout=5
ReturnToService=2
JobRequeue=1
MaxArraySize=1001
PartitionName=main Nodes=ALL Default=YES MaxTime=1:00:00 DefaultTime=10 State=UP
PartitionName=closed Nodes=ALL MaxTime=1:00:00 DefaultTime=10 State=DOWN
END
sed -i '/^RequeueExit=$/d; s///' "$conf"
: >"$folder/plugstack.conf"
for node in n1 n2; do
    echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=${CLUSTER_CPUS:-2} RealMemory=4000 State=UNKNOWN"
done >>"$conf"

start() { # NAME COMMAND...: a daemon that goes to the background when it is ready
    local name=$1
    shift
    env "$mark" SLURM_CONF="$conf" "$@" >"$folder/log/$name.out" 2>&1 </dev/null ||
        fail "$name does not start: $(tail -n 5 "$folder/log/$name.out")"
}

start munged munged --force --key-file="$folder/munge/key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munge/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" \
    --num-threads=2
start slurmctld slurmctld -f "$conf"
start slurmd.n1 slurmd -f "$conf" -N n1
if [ -n "${CLUSTER_HIDE:-}" ]; then
    start slurmd.n2 unshare --mount sh -c 'mount -t tmpfs none "$CLUSTER_HIDE" && exec slurmd -f "$SLURM_CONF" -N n2'
else
    start slurmd.n2 slurmd -f "$conf" -N n2
fi

export SLURM_CONF=$conf
for try in $(seq 100); do
    idle=$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | sort -u | wc -l)
    [ "$idle" -lt 2 ] || break
    [ "$try" -lt 100 ] ||
        fail "the nodes are not up after 20 s: $(sinfo --noheader --Node --long 2>&1)
$(tail -n 5 "$folder"/log/slurm*.log)"
    sleep 0.2
done

if [ $# -gt 0 ]; then
    "$@"
    exit $?
fi
echo ready
cat >/dev/null
stop
rm -rf "$folder"

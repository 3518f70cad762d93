#!/bin/sh
# One stage of an experiment per task. Written by `htl reproduce --engine slurm`.
out=@OUT@
task=${SLURM_ARRAY_TASK_ID:-0}
job=$SLURM_JOB_ID
# The number of an array's first task is that of the whole array, too.
[ -z "$SLURM_ARRAY_TASK_ID" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
node=${SLURMD_NODENAME:-$(hostname)}

if [ "$(cat "$out/@RUN_FILE@" 2>/dev/null)" != @RUN@ ]; then
    echo "node $node does not see the folder of this run, $out: it must lie on storage that all nodes share" >&2
    exit @NO_FOLDER@
fi
case $task in
@CASES@esac
ended=$out/@ENDED@/$name

leave() { # EXIT CODE
    if [ "$1" -ne 0 ] && [ "$1" -ne @AGAIN@ ]; then
        printf '{"exit":%d,"job":"%s","node":"%s"}\n' "$1" "$job" "$node" >"$ended.new" && mv -f "$ended.new" "$ended"
    fi
    exit "$1"
}

rm -f "$ended"
if [ ! -x @PROGRAM@ ]; then
    echo "node $node does not see the program" @PROGRAM@": it must lie on storage that all nodes share" >&2
    leave @NO_PROGRAM@
fi

child=
# Slurm warns this shell before the time limit; when it cancels a job every process hears of it.
trap 'woken=yes; [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null' USR1
trap 'woken=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
@COMMAND@ stage "$stage" --run "$out" --threads "${SLURM_CPUS_PER_TASK:-1}" &
child=$!
# A signal ends `wait` with a code of its own; the next `wait` then has that of the stage, unless it was told already.
told=
while :; do
    woken=no
    wait "$child"
    status=$?
    [ "$woken" = yes ] || break
    told=$status
done
[ "$status" -ne 127 ] || status=${told:-127}

if [ "$status" -eq @AGAIN@ ]; then
    # A job that is being cancelled is no longer RUNNING, and must not come back.
    state=$(scontrol show job --oneliner "$job" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
    if [ "$state" = RUNNING ] && [ "${SLURM_RESTART_COUNT:-0}" -lt @MOST_RESTARTS@ ]; then
        echo "$(date): $stage saved its state; job $job goes back to the queue"
        # Slurm ends this script as it requeues the job.
        scontrol requeue "$job" && sleep 300
    fi
fi
leave "$status"

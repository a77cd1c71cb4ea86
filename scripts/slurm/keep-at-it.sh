# Shared by the batch scripts: runs `start ARGUMENTS...`, hands Slurm's wishes on as $stop_signal, and requeues the job
# unless it is done or cannot be helped. Sourced, not run.
# shellcheck shell=bash

child=
stop() { [ -n "$child" ] && kill -s "$stop_signal" "$child" 2>/dev/null; }
trap stop USR1 TERM

start "$@" &
child=$!
code=
until [ -n "$code" ]; do # a trapped signal interrupts `wait`, which then says more than 128 though the child lives
  wait "$child"
  got=$?
  kill -0 "$child" 2>/dev/null || { wait "$child"; code=$?; [ "$code" = 127 ] && code=$got; }
done
child=

# 0: trained; 2: bad input, which no other try mends. Else 85, stopped as asked, or something was lost. Decided by the exit
# code and not by the signal, which Slurm may send early, late or not at all.
restarts=${SLURM_RESTART_COUNT:-0}
if [ "$code" != 0 ] && [ "$code" != 2 ] && [ "$restarts" -lt "${MAX_REQUEUES:-10}" ] &&
  compgen -G "$run_dir/checkpoints/*.h5" >/dev/null; then
  echo "exit code $code: requeue $((restarts + 1)) of at most ${MAX_REQUEUES:-10}"
  trap '' USR1 TERM
  # Where a node was lost Slurm may have requeued it already. Then this one must not end in an exit code of its own, which
  # would be taken for that of the next.
  scontrol requeue "$SLURM_JOB_ID" ||
    scontrol --oneliner show job "$SLURM_JOB_ID" | grep -qE 'JobState=(PENDING|REQUEUED|COMPLETING)' &&
    exec sleep 60 # until Slurm ends it, by KILL: a sleep that TERM ends would be such an exit code
fi
exit "$code"

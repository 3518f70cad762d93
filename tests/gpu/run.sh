#!/usr/bin/env bash
# What a machine with a GPU is asked, of a kit that `cargo xtask gpu-kit` made: bash, Python and, for CUDA, the driver are
# enough there; no Rust and no network.
#
#   ./run.sh [agreement | bench | jobs | isic2018 | campaign | all]
#
#   agreement   operations, a training and predictions on the GPU against the CPU
#   bench       training steps beside PyTorch's, where this Python has it, and operations one by one; what matters first first
#   jobs        images a second of one, two and four trainings at one time
#   isic2018    as much of `htl reproduce --profile isic2018` as the time allows; where it stopped, the same command goes on
#   campaign    campaigns of docs/campaigns, side by side, as far as the time allows; not part of all
#   all         one after the other (left out: all)
#
# From the environment, each with a default:
#   OUT     folder for results, at most eight files: ./out
#   LIMIT   seconds for everything: 570
#   DEVICE  cuda, or cpu to try the kit itself
#   PYTHON  python3; the folders of its packages `nvidia` are where CUDA's libraries are looked for
#   WORK    folder to unpack and compute in; kept, so that a second call goes on: /tmp/htl-gpu-kit
#   HTL, HTL_BENCH, AGREEMENT, DATA, EMBEDDED, PEERS   what the kit has in it
#   CASES, BATCH, SIZE, STEPS, ROUNDS   of bench: 32:bf16 resnet18:bf16 ... (width or encoder:numbers), 16, 256, 40, 3
#   JOB, JOB_BATCH, JOB_SIZE, JOB_STEPS   of jobs: 24:bf16 (f32 on the CPU), 32, 192, 600
#   PROFILE, ONLY, SEEDS, PRECISION                of isic2018: isic2018, supervised, 1, f32
#   CAMPAIGNS   of campaign, each file:device:jobs:side:options, the last as of `htl campaign`: size:$DEVICE:4:192:
set -u
part=${1:-all}
case $part in
  agreement | bench | jobs | isic2018 | campaign | all) ;;
  *) echo "unknown part '$part': choose agreement, bench, jobs, isic2018, campaign or all" >&2; exit 2 ;;
esac

kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${OUT:-out} LIMIT=${LIMIT:-570} DEVICE=${DEVICE:-cuda} PYTHON=${PYTHON:-python3} WORK=${WORK:-/tmp/htl-gpu-kit}
mkdir -p "$OUT" "$WORK" || exit 1
OUT=$(cd "$OUT" && pwd) WORK=$(cd "$WORK" && pwd)
command -v "$PYTHON" > /dev/null || { echo "there is no $PYTHON here: let PYTHON name one" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

for archive in programs.tar.xz data.tar; do
  if [ -f "$kit/$archive" ]; then
    "$PYTHON" -m tarfile --extract "$kit/$archive" "$WORK" || exit 1
  fi
done
HTL=${HTL:-$WORK/htl} HTL_BENCH=${HTL_BENCH:-$WORK/htl-bench} AGREEMENT=${AGREEMENT:-$WORK/agreement}
DATA=${DATA:-$(ls -d "$WORK"/development-* 2> /dev/null | sort -V | tail -n 1)} EMBEDDED=${EMBEDDED:-$WORK/embedded} PEERS=${PEERS:-$kit/peers}

libraries=$("$PYTHON" - << 'END'
import glob
try:
    import nvidia
    print(":".join(folder for root in nvidia.__path__ for folder in sorted(glob.glob(f"{root}/*/lib"))))
except ImportError:
    pass
END
)
# The driver's own library lies in one of the last two where the loader does not know it.
export LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64:/usr/local/nvidia/lib64

summary=$OUT/summary.md
echo "# GPU kit, $part on $DEVICE" > "$summary"
failed=0
say() { echo "$*" | tee -a "$summary"; }
# A part's name, its exit code, and what to look at.
outcome() {
  case $2 in
    0) say "- $1: passed ($SECONDS s)" ;;
    75) say "- $1: stopped at its time limit ($SECONDS s); the same command goes on" ;;
    124 | 137) say "- $1: FAILED, out of time ($SECONDS s); see $3"; failed=1 ;;
    *) say "- $1: FAILED with $2 ($SECONDS s); see $3"; failed=1 ;;
  esac
}
# Seconds for a part that may have this share of the limit, in percent.
budget() {
  local left=$((LIMIT - SECONDS)) share=$((LIMIT * $1 / 100))
  [ "$part" = all ] && [ "$share" -lt "$left" ] && left=$share
  [ "$left" -lt 1 ] && left=1
  echo "$left"
}

found=$("$HTL" --device "$DEVICE" device 2>&1)
if [ $? -ne 0 ]; then
  say "htl cannot use the device: $found"
  exit 1
fi
say "- htl computes on: $found; Python: $("$PYTHON" --version 2>&1); $("$PYTHON" -c \
  'import torch; print("PyTorch", torch.__version__)' 2> /dev/null || echo 'no PyTorch')"
command -v nvidia-smi > /dev/null && say "- $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader)"

agreement() {
  local log=$OUT/agreement.txt rc=0 stand_in=() seconds end left tests test
  seconds=$(budget 22)
  # Something has to be left for the second half.
  [ "$part" = all ] || seconds=$((seconds * 2 / 3))
  end=$((SECONDS + seconds))
  : > "$log"
  [ "$DEVICE" = cpu ] && stand_in=(HTL_OPS_TEST_DEVICE=cpu)
  if [ -x "$AGREEMENT" ]; then
    # Each test in a process of its own: after a kernel's wrong address or a hang, nothing else in a process works. A program
    # that lists no tests is run as a whole.
    tests=$("$AGREEMENT" --list --format terse 2> /dev/null | sed -n 's/: test$//p')
    for test in ${tests:-""}; do
      left=$((end - SECONDS))
      [ "$left" -gt 60 ] && left=60
      if [ "$left" -le 0 ]; then
        echo "left out for want of time: $test" >> "$log"
        rc=124
        continue
      fi
      env "${stand_in[@]}" timeout -k 5 "$left" "$AGREEMENT" --nocapture --test-threads 1 --exact $test >> "$log" 2>&1
      case $? in
        0) ;;
        124 | 137) echo "out of time: $test" >> "$log"; rc=124 ;;
        *) rc=1 ;;
      esac
    done
    # A device that htl has and the test has not is a failure too.
    grep -q "skipped: no CUDA device" "$log" && rc=3
    outcome "agreement of operations" "$rc" agreement.txt
    sed -n -e 's/.*agreement: /  - /p' -e 's/^\(left out\|out of time\)/  - &/p' "$log" >> "$summary"
  else
    say "- agreement of operations: skipped: no program at $AGREEMENT"
  fi
  timeout -k 5 "$(budget 12)" "$PYTHON" "$kit/agree.py" --htl "$HTL" --device "$DEVICE" --data "$EMBEDDED" \
    --work "$WORK/agree" --out "$OUT/agreement.json" >> "$log" 2>&1
  outcome "agreement of trainings and predictions" $? "agreement.json and agreement.txt"
}

bench() {
  local seconds
  seconds=$(budget 35)
  timeout -k 5 $((seconds + 20)) "$PYTHON" "$kit/bench.py" --htl "$HTL" --bench "$HTL_BENCH" --device "$DEVICE" --peers "$PEERS" \
    --cases ${CASES:-32:bf16 resnet18:bf16 efficientnet-lite0:bf16 32:f32 64:bf16 32:tf32 resnet18:f32 64:f32} --batch "${BATCH:-16}" --size "${SIZE:-256}" \
    --steps "${STEPS:-40}" --rounds "${ROUNDS:-3}" --seconds "$seconds" --out "$OUT/bench.json" --table "$WORK/bench.md"
  outcome bench $? bench.json
  [ -f "$WORK/bench.md" ] && cat "$WORK/bench.md" >> "$summary"
}

jobs() {
  local numbers=bf16
  [ "$DEVICE" = cpu ] && numbers=f32
  rm -f "$WORK/jobs.md" "$OUT/jobs.json"
  timeout -k 5 "$(($(budget 12) + 20))" "$PYTHON" "$kit/jobs.py" --htl "$HTL" --device "$DEVICE" --case "${JOB:-24:$numbers}" \
    --batch "${JOB_BATCH:-32}" --size "${JOB_SIZE:-192}" --steps "${JOB_STEPS:-600}" --seconds "$(budget 12)" \
    --out "$OUT/jobs.json" --table "$WORK/jobs.md"
  outcome jobs $? jobs.json
  [ -f "$WORK/jobs.md" ] && cat "$WORK/jobs.md" >> "$summary"
}

isic2018() {
  local log=$OUT/isic2018.log minutes folder=$WORK/reproduced rc
  if [ ! -d "$DATA" ]; then
    say "- isic2018: skipped: the kit has no data (gpu-kit --data)"
    return
  fi
  # Stages that do not train are let finish, and the results are to be packed: a tenth of the limit is kept for that.
  minutes=$("$PYTHON" -c "print(max(0.05, ($LIMIT * 0.9 - $SECONDS) / 60))")
  timeout -k 10 $((LIMIT - SECONDS > 10 ? LIMIT - SECONDS : 10)) "$HTL" reproduce --profile "${PROFILE:-isic2018}" \
    --data "$DATA" --device "$DEVICE" --precision "${PRECISION:-f32}" --only "${ONLY:-supervised}" --seeds "${SEEDS:-1}" \
    --time-limit "$minutes" --out "$folder" > "$log" 2>&1
  rc=$?
  outcome isic2018 $rc isic2018.log
  tail -n 5 "$log" | sed 's/^/  - /' >> "$summary"
  # Networks and their states stay where they are: they would be most of it.
  tar -czf "$OUT/isic2018.tar.gz" --exclude='*.safetensors' -C "$WORK" reproduced
}

campaign() {
  local minutes entry name device jobs side options label rc at=0 labels=() children=()
  # What is running when the time is over saves its state; then everything is packed.
  minutes=$("$PYTHON" -c "print(max(0.05, ($LIMIT * 0.94 - $SECONDS) / 60))")
  mkdir -p "$WORK/campaigns"
  for entry in ${CAMPAIGNS:-size:$DEVICE:4:192:}; do
    IFS=: read -r name device jobs side options <<< "$entry"
    label=$name-$side-$device
    # The same campaign at another size of the images.
    sed "s/^base = .*/&\nsize = $side/" "$kit/campaigns/$name.toml" > "$WORK/campaigns/$label.toml"
    timeout -k 10 "$((LIMIT - SECONDS > 10 ? LIMIT - SECONDS : 10))" "$HTL" campaign "$WORK/campaigns/$label.toml" \
      --data "${DATA%-*}-$side" --device "$device" --jobs "$jobs" --time-limit "$minutes" --out "$WORK/campaign-$label" \
      ${options//,/ } > "$WORK/$label.log" 2>&1 &
    labels+=("$label")
    children+=($!)
  done
  for label in "${labels[@]}"; do
    wait "${children[at++]}"
    outcome "campaign $label" $? "$label.log in $label.tar.gz"
    tail -n 3 "$WORK/$label.log" | sed 's/^/  - /' >> "$summary"
    # Networks, their states and planted data stay where they are: they would be most of it.
    tar -czf "$OUT/$label.tar.gz" --exclude='*.safetensors' --exclude='data/images' --exclude='data/masks' \
      -C "$WORK" "$label.log" "campaigns/$label.toml" "campaign-$label"
  done
}

if [ "$part" = all ]; then
  agreement
  bench
  jobs
  isic2018
else
  "$part"
fi
say "- all done after $SECONDS s"
exit "$failed"

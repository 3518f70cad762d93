#!/usr/bin/env bash
# Does a score come out again, and what is it more than seed variance? Ten seeds of each population, judged on images that none of
# them saw: docs/who-is-weak.md is made of what this prints and writes.
#
#   docs/experiments/forgetting.sh HTL DEVELOPMENT EMBEDDED OUT [POPULATION...]
#
#   HTL          the htl program
#   DEVELOPMENT  data folder of the development split at 64 pixels (htl-isic-data make-data-folder --source isic2018
#                --splits data-manifest/development.csv --side 64)
#   EMBEDDED     data-manifest/embedded
#   POPULATION   development, embedded, classifier; all three if left out
#
# SEEDS (10), JOBS (2), STEPS (9504) and FINE_TUNING (2000) from the environment. What is finished is not done again.
set -euo pipefail
htl=$(realpath "$1") development=$(realpath "$2") embedded=$(realpath "$3")
mkdir -p "$4"
out=$(realpath "$4")
populations=("${@:5}")
[ ${#populations[@]} -gt 0 ] || populations=(development embedded classifier)
half=$(realpath "$(dirname "$0")")/development-half.csv
seeds=${SEEDS:-10} jobs=${JOBS:-2} steps=${STEPS:-9504} fine_tuning=${FINE_TUNING:-2000}
export RAYON_NUM_THREADS=1

# configuration SETTING DATA IMAGE_STEPS RATE SEED MORE
configuration() {
  printf 'setting = "%s"\ndata = "%s"\nsize = 64\nwidth = 8\nbatch = 16\nimage_steps = %s\nlearning_rate = %s\n' "$1" "$2" "$3" "$4"
  printf 'validate_every = 5\nseed = %s\n%s\n' "$5" "$6"
}

# Trains a seed, prunes it, and fine-tunes the pruned copy and, as the sham, the network itself.
member() {
  local population=$1 seed=$2 setting=supervised data=$development more="" folder=$out/$1-$2 kind init
  case $population in
    development) more="labelled = \"$half\"" ;;
    embedded) data=$embedded ;;
    classifier) setting=weakly-supervised ;;
  esac
  mkdir -p "$folder"
  configuration "$setting" "$data" "$steps" 3e-3 "$seed" "$more" > "$folder/dense.toml"
  "$htl" --device cpu train --config "$folder/dense.toml" --out "$folder/dense" > "$folder/log" 2>&1
  "$htl" --device cpu prune --checkpoint "$folder/dense/checkpoint.safetensors" --sparsity 0.9 --out "$folder/pruned.safetensors" \
    >> "$folder/log" 2>&1
  for kind in sparse sham; do
    init=$folder/pruned.safetensors
    [ "$kind" = sham ] && init=$folder/dense/checkpoint.safetensors
    configuration "$setting" "$data" "$fine_tuning" 2e-3 "$seed" "$more"$'\n'"init = \"$init\"" > "$folder/$kind.toml"
    "$htl" --device cpu train --config "$folder/$kind.toml" --out "$folder/$kind" >> "$folder/log" 2>&1
  done
}

# Scores images by a population: mine POPULATION IMAGES
mine() {
  local data=$development which=(--split test)
  [ "$1" = embedded ] && data=$embedded
  [ "$2" = other-half ] && which=(--split train --exclude "$half")
  local dense=() sparse=() sham=() seed
  for ((seed = 0; seed < seeds; seed++)); do
    dense+=("$out/$1-$seed/dense/checkpoint.safetensors")
    sparse+=("$out/$1-$seed/sparse/checkpoint.safetensors")
    sham+=("$out/$1-$seed/sham/checkpoint.safetensors")
  done
  "$htl" --device cpu mine --dense "${dense[@]}" --sparse "${sparse[@]}" --sham "${sham[@]}" --curve all \
    --sparsities "${SPARSITIES:-0.3,0.5,0.6,0.7,0.8,0.9}" --data "$data" "${which[@]}" --setting "$1" \
    --out "$out/$1-$2/scores.csv" 2>&1 | tee "$out/$1-$2.log"
}

export -f configuration member
export htl development embedded out half steps fine_tuning
for population in "${populations[@]}"; do
  for ((seed = 0; seed < seeds; seed++)); do
    echo "$population $seed"
  done
done | xargs -P "$jobs" -L 1 bash -c 'member "$0" "$1"'
for population in "${populations[@]}"; do
  mine "$population" test
  [ "$population" != development ] || mine development other-half
done

#!/bin/sh
# A stage as `htl` does it: writes its record last, does nothing when it is there, appends to its log. What it does before
# that is a file of the test.
id=$4 out=$6
folder=$out/stages/$id
exec >>"$out/logs/$id.log" 2>&1
[ "$1 $2 $3 $5 $7 $8" = "--device cpu stage --run --threads 1" ] || { echo "unexpected: $*"; exit 2; }
[ ! -e "$folder/stage.json" ] || exit 0
mkdir -p "$folder.partial"
echo "$SLURMD_NODENAME" >>"$out/starts/$id"
[ ! -e "$out/do/$id" ] || . "$out/do/$id"
echo '{}' >"$folder.partial/stage.json"
mv "$folder.partial" "$folder"

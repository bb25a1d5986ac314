#!/usr/bin/env bash
# Three gates with known answers: the same build passes, 8 % more CPU per transaction fails, 2 % more does not.
# Usage: bash scenarios/ci/known-answers.sh FOLDER_WITH_PROGRAMS [ARGUMENTS OF loadgen gate]
# Logs go to reports/samples/gate/. Needs a quiet machine: about 6 to 14 minutes each.
set -uo pipefail
cd "$(dirname "$0")/../.."
programs=$(realpath "${1:?the folder with loadgen, lb-under-test and burning-dut}")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
logs=reports/samples/gate
mkdir -p "$logs"

cp scenarios/dut/reference-http.lb.toml "$work/"
for share in 0 2 8; do
    cat >"$work/burning-$share.toml" <<TOML
kind = "command"
config = "reference-http.lb.toml"
start = ["$programs/burning-dut", "--share", "$share%", "--", "$programs/lb-under-test", "--config", "{config}"]
TOML
done

wrong=0
# gate NAME EXPECTED_EXIT_CODE EXPECTED_WORDS ARGUMENTS…
gate() {
    local name=$1 expected=$2 words=$3 code
    shift 3
    "$programs/loadgen" gate scenarios/ci/cps.toml --explain --quiet --reports "$work/reports" "$@" >"$work/$name.txt" 2>&1
    code=$?
    # No path of this machine in what is kept.
    sed -e "s|$work/||g" -e "s|$programs/||g" "$work/$name.txt" >"$logs/$name.txt"
    echo "exit $code" >>"$logs/$name.txt"
    head -1 "$logs/$name.txt"
    if [ "$code" -ne "$expected" ] || ! head -1 "$logs/$name.txt" | grep -qE "^($words) "; then
        echo "$name: expected exit $expected and $words" >&2
        wrong=1
    fi
}

gate eight-percent-more 1 regression --baseline-dut "$work/burning-0.toml" --candidate-dut "$work/burning-8.toml" --primary-only "$@"
gate same-build 0 pass --baseline-dut "$work/burning-0.toml" --candidate-dut "$work/burning-0.toml" --primary-only "$@"
gate two-percent-more 0 'pass|inconclusive' --baseline-dut "$work/burning-0.toml" --candidate-dut "$work/burning-2.toml" --primary-only "$@"
exit $wrong

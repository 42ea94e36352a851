# For ./test and ./prove: steps with their times. To be sourced, with the folder of the repository as the working folder.
steps=() passed=0 failed=() said=() jobs=() queued=0
declare -A last_in_lane=()
mkdir -p target/steps
# A run that was killed may have left the number of a session that is somebody else's by now.
rm -f target/steps/*/session

need() { command -v "$1" >/dev/null || { echo "$1 is missing: $2" >&2; exit 1; }; }

# step SECONDS TITLE COMMAND…: runs it, and goes on when it fails. SECONDS: what it takes on two idle cores.
step() {
    local budget=$1 title=$2 began=$SECONDS status=0 output=target/steps/foreground-${#steps[@]}
    shift 2
    printf '\n== %s\n' "$title"
    { "$@" || status=$?; echo "$status" >"$output.status"; } 2>&1 | tee "$output"
    ended "$budget" "$title" $((SECONDS - began)) "$(cat "$output.status")" "$output"
}

# must …: the same; what comes after it can't do without.
must() {
    local before=${#failed[@]}
    step "$@"
    [ ${#failed[@]} = "$before" ] || conclude
}

ended() {
    local budget=$1 title=$2 took=$3 status=$4 output=$5 outcome=ok over=
    [ "$took" -le "$budget" ] || over=' OVER'
    if [ "$status" = 0 ]; then passed=$((passed + 1)); else outcome=FAILED failed+=("$title") said+=("$output"); fi
    steps+=("$(printf '%6d s  %6d s%-5s  %-6s  %s' "$took" "$budget" "$over" "$outcome" "$title")")
    printf -- '-- %s: %s after %d s (budget %d s%s)\n' "$title" "$outcome" "$took" "$budget" "${over:+, over it}"
}

# background LANE SECONDS TITLE COMMAND…: behind the steps, at the lowest priority: they compute, and the steps mostly wait. Those of one
# lane run one after the other. Printed, each as one block, by await_all. COMMAND is a function of the script, or a program: it runs in a
# session of its own.
background() { queue "$@"; }
# beside_it …: beside the steps, at their priority.
beside_it() { queue none "$@"; }

queue() {
    local lane=$1 number=$queued before=
    shift
    queued=$((queued + 1))
    local folder=target/steps/$number
    rm -rf "$folder" && mkdir -p "$folder"
    printf '%s\n' "$1" >"$folder/budget"
    printf '%s\n' "$2" >"$folder/title"
    shift 2
    [ "$lane" = none ] || before=${last_in_lane[$lane]:-}
    # A process group of its own, which ends with this script.
    set -m
    (
        # A step of a lane begins when the one before it has ended.
        [ -z "$before" ] || tail --pid="$before" -f /dev/null
        began=$SECONDS status=0
        case $lane in
            none) "$@" ;;
            *) behind "$@" ;;
        esac >"$folder/output" 2>&1 || status=$?
        rm -f "$folder/session"
        echo $((SECONDS - began)) >"$folder/took"
        echo "$status" >"$folder/status"
    ) &
    set +m
    jobs[number]=$!
    [ "$lane" = none ] || last_in_lane[$lane]=$!
}

# Where the kernel groups processes by session (sched(7), "The autogroup feature"), a nice value counts within the session alone: what
# computes would have as much of the processor as a whole lab, each of which is a session of its own. So it gets a session, and that the
# lowest priority.
behind() {
    local words
    printf -v words '%q ' "$@"
    setsid --wait bash -c "$(declare -f); $(declare -p cache deny cargo_deny_version 2>/dev/null)
        set -uo pipefail
        echo \$\$ >'$folder/session'
        renice -n 19 -p \$\$ >/dev/null
        [ ! -w /proc/self/autogroup ] || echo 19 >/proc/self/autogroup
        $words"
}

# However the script ends, nothing of it goes on.
end_jobs() {
    local job session
    # Each may have ended already.
    for job in "${jobs[@]}"; do
        kill -TERM -- "-$job" 2>/dev/null || true
    done
    for session in target/steps/*/session; do
        [ ! -s "$session" ] || kill -TERM -- "-$(cat "$session")" 2>/dev/null || true
    done
}
trap end_jobs EXIT

await_all() {
    local number
    for number in "${!jobs[@]}"; do await "$number"; done
}

# await_must TITLE: waits for this one of them. What comes after it can't do without.
await_must() {
    local number before=${#failed[@]}
    for number in "${!jobs[@]}"; do
        [ "$(cat "target/steps/$number/title")" != "$1" ] || await "$number"
    done
    [ ${#failed[@]} = "$before" ] || conclude
}

await() {
    local number=$1 folder=target/steps/$1
    wait "${jobs[$number]}" || true
    printf '\n== %s\n' "$(cat "$folder/title")"
    cat "$folder/output"
    ended "$(cat "$folder/budget")" "$(cat "$folder/title")" "$(cat "$folder/took" 2>/dev/null || echo 0)" \
        "$(cat "$folder/status" 2>/dev/null || echo 1)" "$folder/output"
    unset "jobs[$number]"
}

# What a step that failed said of it, for who sees but the end of a long output.
say_again() {
    printf '\n== what failed in: %s\n' "$1"
    # Which of them in the end, and how many: what is cut below may not say so.
    grep -E 'FAILED again|passed, [0-9]+ failed|^test result: FAILED|second try, alone:' "$2" | cut -c1-300 | head -n 30 || true
    grep --no-group-separator -m 8 -A 40 -E '\bFAILED\b|panicked at|^error' "$2" | cut -c1-400 | head -n 120 || tail -n 20 "$2"
}

# Prints each step's time beside its budget, and ends the script.
conclude() {
    await_all
    local number
    for number in "${!failed[@]}"; do say_again "${failed[$number]}" "${said[$number]}"; done
    printf '\n    took    budget\n'
    printf '%s\n' "${steps[@]}"
    printf '\n%d s in all. Steps: %d passed, %d failed%s\n' "$SECONDS" "$passed" "${#failed[@]}" \
        "$([ ${#failed[@]} = 0 ] || printf ': %s' "$(IFS=';'; echo "${failed[*]}")")"
    [ ${#failed[@]} = 0 ] || exit 1
    exit 0
}

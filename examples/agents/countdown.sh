#!/bin/sh
# Counts seconds down, and stops at once when its job is cancelled.
trap 'echo "told to stop" >&2; exit 1' TERM

read -r job
left=$(printf '%s' "$job" | sed -n 's/.*"seconds": *\([0-9][0-9]*\).*/\1/p')
if [ -z "$left" ]; then
    echo '{"error": {"code": "INVALID_REQUEST", "message": "input.seconds must be a whole number"}}'
    exit 1
fi
total=$left
while [ "$left" -gt 0 ]; do
    printf '{"kind": "progress", "body": {"current": %d, "total": %d, "units": "s"}}\n' $((total - left)) "$total"
    sleep 1
    left=$((left - 1))
done
printf '{"result": {"slept": %d}}\n' "$total"

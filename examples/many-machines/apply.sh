#!/bin/sh
# Applies one part of a project in a clone of its own, and pushes what it made: apply.sh REPOSITORY FOLDER K/N
set -eu
if [ -d "$2/.git" ]; then
  contentops -C "$2" commit --direct # what a run that was killed had made
  git -C "$2" pull --quiet
else
  git clone --quiet "$1" "$2"
fi
code=0
contentops -C "$2" apply --yes --select "shard:$3" --deadline 50m || code=$?
# Also after an apply that failed: the lock says what was paid for.
contentops -C "$2" commit --direct
exit "$code"

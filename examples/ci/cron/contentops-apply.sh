#!/bin/sh
# Applies what is on the branch, from a clone that is kept for this alone. In a crontab, with the key in the environment:
#   17 * * * * . /etc/contentops.env && /srv/contentops-apply.sh /srv/site
set -eu
cd "${1:?the folder of the project}"
# No prompt, and the looks of CI: nothing is paid for whose results could not come back.
export CI=true
# What a run before made and could not push goes first.
contentops commit --direct
git pull --quiet --ff-only
code=0
contentops apply --yes --no-cache --deadline 50m || code=$?
# Whatever the apply did: one that failed halfway has paid for texts, and the lock says which.
contentops commit --direct
exit "$code"

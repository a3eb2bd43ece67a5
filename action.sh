#!/usr/bin/env bash
# Runs one command of contentops for action.yml. COMMAND says which; its inputs are the other variables, and those that
# are not set are empty.
set -euo pipefail
for name in DIRECTORY ENVIRONMENT VARIABLES SELECT ARTIFACT PROJECT PLAN_FILE REFRESH REVIEWED_PLAN CHECKSUM MAX_CREDITS \
  APPROVE_CREDITS DEADLINE API_KEY SERVERS TOKEN DIRECT DUE; do
  printf -v "$name" %s "${!name-}"
done
contentops="$RUNNER_TEMP/contentops/bin/contentops"
[ -e "$contentops" ] || contentops="$RUNNER_TEMP/contentops/Scripts/contentops.exe"
arguments=()
option() { if [ -n "$2" ]; then arguments+=("$1=$2"); fi; }
limit() {
  # An approved price may be over the limit.
  if [[ -n "$MAX_CREDITS" && "$APPROVE_CREDITS" =~ ^[0-9]+$ && "$APPROVE_CREDITS" -gt "$MAX_CREDITS" ]]; then
    MAX_CREDITS="$APPROVE_CREDITS"
  fi
  option --max-credits "$MAX_CREDITS"
}
each() { while IFS= read -r line; do option "$1" "${line%$'\r'}"; done <<< "$2"; }
key() {
  if [ -n "$API_KEY" ]; then export WRITERZROOM_API_KEY="$API_KEY"; fi
  if [ -n "$SERVERS" ]; then export CONTENTOPS_SERVERS="$SERVERS"; fi
}
# A line break in it would be an output of its own.
whole() { case "$1" in "" | /* | [A-Za-z]:*) ;; *) printf '%s/' "$PWD" ;; esac; printf '%s' "${1//[$'\r\n']/}"; }
plan="$(whole "$PLAN_FILE")"
case "$COMMAND" in
  validate)
    option --env "$ENVIRONMENT"
    each --var "$VARIABLES"
    ;;
  plan)
    arguments+=(--no-cache)
    plan="${plan:-$RUNNER_TEMP/contentops-plan.json}"
    arguments+=("--out=$plan")
    if [ "$REFRESH" = true ]; then arguments+=(--refresh); key; fi
    option --env "$ENVIRONMENT"
    each --var "$VARIABLES"
    each --select "$SELECT"
    limit
    ;;
  check)
    COMMAND=plan
    arguments+=(--no-cache "--check=${plan:-$RUNNER_TEMP/contentops-plan.json}${CHECKSUM:+@$CHECKSUM}")
    plan=""
    option --env "$ENVIRONMENT"
    limit
    ;;
  apply)
    arguments+=(--yes --no-cache)
    option --env "$ENVIRONMENT"
    option --approve-credits "$APPROVE_CREDITS"
    option --deadline "$DEADLINE"
    if [ -n "$REVIEWED_PLAN" ]; then option --reviewed "$(whole "$REVIEWED_PLAN")${CHECKSUM:+@$CHECKSUM}"; fi
    if [ -n "$plan" ]; then
      arguments+=("$plan")
    else
      each --var "$VARIABLES"
      each --select "$SELECT"
      # The day is this one; a plan never reads a clock.
      if [ "$DUE" = later ]; then
        arguments+=("--exclude=due>$(date -u +%F)")
      elif [ -n "$DUE" ]; then
        arguments+=("--select=due<=$(date -u +%F)")
      fi
    fi
    key
    ;;
  approve)
    arguments+=(--merged)
    option --env "$ENVIRONMENT"
    each --var "$VARIABLES"
    ;;
  comment)
    arguments+=("--plan=${plan:-$RUNNER_TEMP/contentops-plan.json}")
    option --project "$PROJECT"
    option --env "$ENVIRONMENT"
    ;;
  find-plan)
    option --artifact "$ARTIFACT"
    option --env "$ENVIRONMENT"
    ;;
  commit)
    option --env "$ENVIRONMENT"
    if [ "$DIRECT" = true ]; then arguments+=(--direct); fi
    ;;
  *)
    echo "there is no command of this name; see the inputs in action.yml" >&2
    exit 64
    ;;
esac
# Only what speaks with GitHub, or asks git for its branches, gets the token; the key, only what asks the server.
case "$COMMAND" in
  apply | approve | comment | commit | find-plan) if [ -n "$TOKEN" ]; then export GITHUB_TOKEN="$TOKEN"; fi ;;
esac
unset API_KEY TOKEN
code=0
"$contentops" -C "${DIRECTORY:-.}" "$COMMAND" ${arguments[@]+"${arguments[@]}"} || code=$?
# The same plan as a page, for people. A plan changes nothing, so it can be made twice; the first one was reported.
page=""
if [ "$COMMAND" = plan ] && [ -f "$plan" ] && [ "$REFRESH" != true ]; then
  page="${plan%.json}.html"
  env -u GITHUB_ACTIONS -u GITHUB_OUTPUT -u GITHUB_STEP_SUMMARY \
    "$contentops" -C "${DIRECTORY:-.}" plan "${arguments[@]}" --format html > "$page" 2> /dev/null || true
  [ -s "$page" ] || { rm -f "$page"; page=""; }
fi
{
  echo "exit-code=$code"
  if [ "$COMMAND" = plan ] && [ -n "$plan" ]; then echo "plan-file=$plan"; fi
  if [ -n "$page" ]; then echo "page-file=$page"; fi
} >> "$GITHUB_OUTPUT"
exit "$code"

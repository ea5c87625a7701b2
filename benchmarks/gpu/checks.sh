# ./run gpu: every check that needs a GPU, in stages, with what they found as JSON. Sourced by `run`, whose words it uses;
# it needs nothing but bash, coreutils and what the build needs.

# shellcheck disable=SC2154 # root
. "$root/benchmarks/gpu/machine.sh"

gpu_build=$root/build/gpu
gpu_logs=$gpu_build/logs
gpu_stages=(tests sanitizer parity torch traces micro)
gpu_binaries=(nn cuda autograd) # the shortest first: it has the recorded steps
# Their cases that use the device: the others are checked wherever mnemo is built.
gpu_cases='*cuda:*,op rows*,StepGraph*'
# Under a sanitizer every access is checked: small cases of every file of kernels. The last ones are those that talk
# between threads, for which alone the search for races is worth its time.
gpu_kernels_in_blocks='cuda: normalize*,cuda: softmax*,cuda: norms over*,cuda: gradients are divided*,cuda: transposes*'
gpu_kernels_in_blocks+=',cuda: sums are taken*'
gpu_kernels="cuda: an operation on its own*,cuda: sign bits*,cuda: gather*,cuda: resample*,cuda: pool*,cuda: products*,cuda: random numbers*"
gpu_kernels+=",cuda: the scale follows*,cuda: Adam with*,cuda: own convolutions of random*,$gpu_kernels_in_blocks"

declare -A gpu_limits=([build]=3600 [open]=60 [tests]=1200 [sanitizer]=300 [parity]=600 [torch]=3600 [traces]=600 [micro]=300)
# With --within: each stage's share of the time that is left to it and those behind it.
declare -A gpu_weights=([build]=0 [open]=0 [tests]=4 [sanitizer]=3 [parity]=3 [torch]=6 [traces]=1 [micro]=2)
declare -A gpu_outcome=() gpu_seconds=() gpu_note=()

gpu_help() {
  cat <<'END_OF_HELP'
usage: ./run gpu [OPTIONS] [RESULTS_DIR]

Builds for this machine's NVIDIA GPU in build/gpu, runs every check that needs one, and writes what they found to
RESULTS_DIR/CARD/*.json (RESULTS_DIR: benchmarks/results). Nothing is installed. Whether the device opens is seen first
(devices.json). Stages, in this order:

  tests       the test binaries that use the device        tests.json
  sanitizer   compute-sanitizer over the kernels' tests    in build/gpu/logs
  parity      mnemo parity: memory beside the virtual card parity.json
  torch       the same steps in PyTorch, where it is       torch.json
  traces      PyTorch's allocations, to be replayed        torch-traces/
  micro       bandwidths and overheads                     micro.json

Next to them is logs.tar.gz, with what every stage has said; it is not for the repository.

  --only STAGE[,STAGE...]   these alone, in this order; what they need is built first
  --no-build                take what build/gpu has
  --limit STAGE=SECONDS     end a stage, or "build", after that time; may be repeated
  --within SECONDS          end everything by then: each stage gets its share of what is left, and writes what it has
  --help                    this text

MNEMO_DEPS_DIR is a folder of headers, where their packages are missing: ./run gather-deps DIR makes one elsewhere, and
.deps in the repository is taken by itself. CUDNN_ROOT is a folder with cuDNN's include/ and lib/; without it that of
Python's packages is taken, if there is one. CUDA_VISIBLE_DEVICES chooses the GPU.
Exit codes: 0 fine, 1 a stage failed, 2 usage, 77 no GPU, no nvcc or no tools.
END_OF_HELP
}

gpu_usage() {
  say "gpu: $*"
  say "see ./run gpu --help"
  exit 2
}

gpu_is_stage() {
  local stage
  for stage in "${gpu_stages[@]}"; do [[ $stage == "$1" ]] && return; done
  return 1
}

gpu_arguments() {
  gpu_chosen=("${gpu_stages[@]}") gpu_builds=yes gpu_results='' gpu_deadline=''
  local stage
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) gpu_help && exit 0 ;;
      --only)
        [[ -n ${2-} ]] || gpu_usage "--only needs stages: ${gpu_stages[*]}"
        IFS=, read -ra gpu_chosen <<<"$2"
        for stage in "${gpu_chosen[@]}"; do
          gpu_is_stage "$stage" || gpu_usage "no stage '$stage' among: ${gpu_stages[*]}"
        done
        shift
        ;;
      --no-build) gpu_builds='' ;;
      --within)
        [[ ${2-} =~ ^[1-9][0-9]*$ ]] || gpu_usage "--within needs seconds, not '${2-}'"
        gpu_deadline=$((SECONDS + $2))
        shift
        ;;
      --limit)
        [[ ${2-} =~ ^([a-z]+)=([1-9][0-9]*)$ ]] || gpu_usage "--limit needs STAGE=SECONDS, not '${2-}'"
        [[ ${BASH_REMATCH[1]} == build ]] || gpu_is_stage "${BASH_REMATCH[1]}" ||
          gpu_usage "no stage '${BASH_REMATCH[1]}' among: build ${gpu_stages[*]}"
        gpu_limits[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
        shift
        ;;
      -*) gpu_usage "unknown option '$1'" ;;
      *)
        [[ -z $gpu_results ]] || gpu_usage "one RESULTS_DIR, not '$gpu_results' and '$1'"
        gpu_results=$1
        ;;
    esac
    shift
  done
  gpu_results=$(realpath -m -- "${gpu_results:-$root/benchmarks/results}")
}

# gpu_left STAGE: the seconds that it has yet, of its own and of --within, which counts a killed command's last ones. What
# earlier stages did not need is shared by those behind them; building and opening take what they need.
gpu_left() {
  local left=$((gpu_limits[$1] - (SECONDS - gpu_began))) total share
  if [[ -n $gpu_deadline ]]; then
    total=$((gpu_deadline - gpu_began - 10)) share=100
    ((gpu_weights[$1] == 0)) || share=$((100 * gpu_weights[$1] / (gpu_weight_left > 0 ? gpu_weight_left : gpu_weights[$1])))
    total=$((total * share / 100 - (SECONDS - gpu_began)))
    if ((total < left)); then left=$total; fi
  fi
  printf '%d' $((left > 0 ? left : 0))
}

# limited STAGE COMMAND...: 124 when the stage's time is over.
limited() {
  local left
  left=$(gpu_left "$1")
  ((left > 0)) || return 124
  timeout --kill-after=10 "$left" "${@:2}"
}

# gpu_complaints LOG: says how often mnemo's own kernels did a library's work: it has no algorithm, or failed. 1 if it failed.
gpu_complaints() {
  local lines
  lines=$(grep -a 'cuBLASLt has no algorithm' "$1" || true)
  [[ -z $lines ]] || gpu_say+="$(wc -l <<<"$lines") products without an algorithm in ${1##*/}; "
  lines=$(grep -aE '\[warning\] \[(cudnn|matmul)\]' "$1" || true)
  [[ -n $lines ]] || return 0
  gpu_say+="$(wc -l <<<"$lines") warnings of libraries in ${1##*/}; "
  head -n 5 <<<"$lines" >&2
  return 1
}

gpu_targets() {
  local stage targets=(examples/mnemo)
  for stage in "${gpu_chosen[@]}"; do
    case $stage in
      tests) targets+=("${gpu_binaries[@]/#/tests/test-}") ;;
      sanitizer) targets+=(tests/test-cuda) ;;
      micro) targets+=(benchmarks/gpu/bench-gpu-micro) ;;
    esac
  done
  printf '%s\n' "${targets[@]}" | sort -u
}

# What could not be built must not be taken from an earlier time, so programs go first. What a compiler that nobody tried
# before warns of is no reason not to measure.
gpu_build_all() {
  local targets architecture
  mapfile -t targets < <(gpu_targets)
  architecture=$(gpu_ask compute_cap)
  mkdir -p "$gpu_build"
  rm -f "${targets[@]/#/$gpu_build/}"
  {
    flock 9
    cd "$root" &&
      limited build cmake --preset gpu -D"CMAKE_CUDA_COMPILER=$gpu_nvcc" -DMNEMO_WERROR=OFF \
        -D"CMAKE_CUDA_ARCHITECTURES=${architecture/./}-real" &&
      limited build cmake --build "$gpu_build" --parallel "$(nproc)" --target "${targets[@]}" -- -k 0
  } 9>"$gpu_build/.lock" >&2
}

# Every stage returns 0, 1 for failed, 124 for out of time, or 77 for not possible here, and may say more in gpu_say.

# gpu_run_cases PROGRAM LOG: the cases that use the device. After an error that the device does not recover from all later
# cases fail too: then once more without the one that met it, three times at most.
gpu_run_cases() {
  local code attempt culprit left_out=''
  for attempt in 1 2 3 4; do
    code=0
    MNEMO_CACHE_DIR='' MNEMO_TEST_ROWS=cuda limited tests "$1" --no-colors=true --test-case="$gpu_cases" \
      --test-case-exclude="$left_out" >"$2" 2>&1 || code=$?
    if ((code == 0 || code == 124 || attempt == 4)) || ! grep -aqE 'context is lost|test case CRASHED' "$2"; then break; fi
    culprit=$(awk '/^TEST CASE: /{name = substr($0, 13)} / (FATAL )?ERROR: /{print name; exit}' "$2")
    [[ -n $culprit ]] || break
    cp "$2" "${2%.log}-$attempt.log"
    gpu_say+="once more without '$culprit'; "
    left_out+=${left_out:+,}${culprit//,/?} # a comma would end the name
  done
  [[ -z $left_out ]] || return 1
  return "$code"
}

gpu_stage_tests() {
  local name program log code line began counts='' entries=() failed=0
  [[ -d $gpu_build/tests ]] || { gpu_say="nothing was built" && return 1; }
  cd "$gpu_build/tests" || return 1
  for name in "${gpu_binaries[@]}"; do
    program=$gpu_build/tests/test-$name log=$gpu_logs/test-$name.log code=0 began=$EPOCHREALTIME
    say "gpu: test-$name"
    if [[ -x $program ]]; then
      gpu_run_cases "$program" "$log" || code=$?
    else
      printf 'test-%s was not built\n' "$name" >"$log"
      code=127
    fi
    line=$(grep -a '^\[doctest\] test cases:' "$log" || true)
    [[ $line =~ \|\ +([0-9]+)\ passed\ \|\ +([0-9]+)\ failed\ \|\ +([0-9]+)\ skipped ]] || BASH_REMATCH=('' 0 0 0)
    entries+=("$(printf '{"binary": "test-%s", "exit": %d, "passed": %d, "failed": %d, "left_out": %d, "skipped_what_needs_a_gpu": %s, "seconds": %s}' \
      "$name" "$code" "${BASH_REMATCH[@]:1:3}" \
      "$(if grep -aq 'skipped: what needs a GPU' "$log"; then echo true; else echo false; fi)" \
      "$(gpu_elapsed "$began")")")
    counts+=" $name ${BASH_REMATCH[1]}/$((BASH_REMATCH[1] + BASH_REMATCH[2]))"
    if grep -a 'skipped: what needs a GPU' "$log" >&2; then
      say "gpu: test-$name did not see the GPU"
      failed=1
    fi
    gpu_complaints "$log" || failed=1
    if [[ $code -ne 0 ]]; then
      ((failed == 1)) || failed=$((code == 124 ? 124 : 1))
      say "gpu: test-$name ended with code $code; the end of $log:"
      tail -n 20 "$log" >&2
    fi
  done
  printf -v line ',\n    %s' "${entries[@]}"
  write_object "$gpu_folder/tests.json" card "$(json_text "$gpu_title")" commit "$(json_text "$(gpu_commit)")" \
    date "$(json_text "$(date -u +%Y-%m-%dT%H:%M:%SZ)")" binaries "[${line#,}
  ]"
  gpu_say="passed:$counts; $gpu_say"
  return "$failed"
}

# A leak check would complain of memory that libraries keep, and API errors are made on purpose in tests.
gpu_stage_sanitizer() {
  local sanitizer tool filter code=0 failed=0
  sanitizer=$(command -v compute-sanitizer || command -v "${gpu_nvcc%/*}/compute-sanitizer") || {
    gpu_say="there is no compute-sanitizer"
    return 77
  }
  for tool in memcheck racecheck; do
    filter=$gpu_kernels
    [[ $tool == memcheck ]] || filter=$gpu_kernels_in_blocks
    code=0
    # Without cuDNN, whose kernels it would take apart too.
    CUDNN_ROOT=/nonexistent MNEMO_CACHE_DIR='' limited sanitizer "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 86 \
      "$gpu_build/tests/test-cuda" --no-colors=true --test-case="$filter" >"$gpu_logs/$tool.log" 2>&1 || code=$?
    if grep -aq 'Device not supported' "$gpu_logs/$tool.log"; then
      gpu_say="compute-sanitizer does not support this device here"
      return 77
    fi
    gpu_say+="$tool: $(grep -aoE '(ERROR|RACECHECK) SUMMARY: .*' "$gpu_logs/$tool.log" | tail -n 1 || true), code $code; "
    if ((code != 0)); then
      failed=$((code == 124 ? 124 : 1))
      tail -n 20 "$gpu_logs/$tool.log" >&2
    fi
  done
  # A filter that finds nothing checks nothing.
  if grep -aq '^\[doctest\] test cases: *0 |' "$gpu_logs"/{memcheck,racecheck}.log; then
    gpu_say+="no test case was run; "
    failed=1
  fi
  return "$failed"
}

# gpu_keep FILE STAGE COMMAND...: what the command writes to stdout becomes a result, also where it failed, if there is any.
gpu_keep() {
  local file=$1 code=0
  rm -f "$gpu_folder/$file"
  limited "${@:2}" >"$gpu_logs/$2.json" 2>"$gpu_logs/$2.log" || code=$?
  cat "$gpu_logs/$2.log" >&2
  if [[ -s $gpu_logs/$2.json ]]; then
    cp "$gpu_logs/$2.json" "$gpu_folder/$file"
  elif ((code == 0)); then
    code=1 gpu_say="it wrote nothing"
  fi
  return "$code"
}

gpu_stage_parity() {
  local program=$gpu_build/examples/mnemo
  [[ -x $program ]] || { gpu_say="the command was not built" && return 1; }
  "$program" parity --help >/dev/null 2>&1 || { gpu_say="the command has no verb parity" && return 77; }
  local left code=0
  left=$(gpu_left parity)
  # It writes at its end, so that its last point and its plans must be done in time.
  gpu_keep parity.json parity "$program" parity --device cuda --seconds $((left * 3 / 5)) \
    --seconds-per-point $((left / 10 + 1)) --plan-seconds $((left / 5)) --json || code=$?
  gpu_complaints "$gpu_logs/parity.log" || ((code > 0)) || code=1
  return "$code"
}

# Whether PyTorch and the script are there: gpu_say is why not.
gpu_has_torch() {
  [[ -f $root/benchmarks/gpu/$1 ]] || { gpu_say="there is no benchmarks/gpu/$1" && return 1; }
  python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1 ||
    { gpu_say="no PyTorch here that sees the GPU" && return 1; }
}

gpu_stage_torch() {
  gpu_has_torch torch_compare.py || return 77
  rm -f "$gpu_folder/torch.json"
  # It begins no run after --seconds, and its file is complete after every run.
  limited torch python3 -B "$root/benchmarks/gpu/torch_compare.py" --mnemo "$gpu_build/examples/mnemo" \
    --out "$gpu_folder/torch.json" --seconds $(($(gpu_left torch) * 3 / 4)) >&2
}

gpu_stage_traces() {
  gpu_has_torch torch_traces.py || return 77
  mkdir -p "$gpu_folder/torch-traces"
  limited traces python3 -B "$root/benchmarks/gpu/torch_traces.py" --out "$gpu_folder/torch-traces" >&2
}

gpu_stage_micro() {
  local program=$gpu_build/benchmarks/gpu/bench-gpu-micro
  [[ -x $program ]] || { gpu_say="bench-gpu-micro was not built" && return 1; }
  gpu_keep micro.json micro "$program" --device cuda --json
}

# Whether the device opens at all, before anything else is tried on it.
gpu_stage_open() {
  local reason
  [[ -x $gpu_build/examples/mnemo ]] || { gpu_say="the command was not built" && return 1; }
  gpu_keep devices.json open "$gpu_build/examples/mnemo" devices --json || return
  reason=$(python3 -c 'import json, sys
print(next((d.get("reason", "") for d in json.load(sys.stdin)["devices"] if d["name"] == "cuda"), "not listed"))' \
    <"$gpu_folder/devices.json" 2>/dev/null) || return 0 # without python3 the stages say so themselves
  [[ -z $reason ]] || { gpu_say=$reason && return 1; }
}

# gpu_elapsed SINCE: seconds with a decimal, from $EPOCHREALTIME.
gpu_elapsed() {
  local now=$EPOCHREALTIME tenths
  tenths=$(((${now//[!0-9]/} - ${1//[!0-9]/}) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# gpu_weight_from STAGE: its weight and those of the chosen stages behind it.
gpu_weight_from() {
  local stage sum=0 begun=''
  for stage in "${gpu_chosen[@]}"; do
    [[ $stage != "$1" ]] || begun=yes
    [[ -z $begun ]] || sum=$((sum + gpu_weights[$stage]))
  done
  printf '%d' "$sum"
}

# gpu_take STAGE COMMAND...: runs it, whatever becomes of it, and remembers that.
gpu_take() {
  local stage=$1 code=0 start=$EPOCHREALTIME
  gpu_say='' gpu_began=$SECONDS
  gpu_weight_left=$(gpu_weight_from "$stage")
  say "gpu: $stage, at most $(gpu_left "$stage") s"
  "${@:2}" || code=$?
  cd "$root" || exit 1
  tar -czf "$gpu_folder/logs.tar.gz" -C "$gpu_logs" . 2>/dev/null || true # after each: the next one may be the last
  gpu_seconds[$stage]=$(gpu_elapsed "$start") gpu_note[$stage]=${gpu_say%; }
  case $code in
    0) gpu_outcome[$stage]=passed ;;
    77) gpu_outcome[$stage]=skipped ;;
    124 | 137) gpu_outcome[$stage]="out of time" ;;
    *) gpu_outcome[$stage]=failed gpu_note[$stage]=${gpu_note[$stage]:-"exit code $code"} ;;
  esac
}

# The table of what happened; 1 if anything failed.
gpu_summary() {
  local stage code=0
  printf '\n%-10s %-12s %9s  %s\n' stage outcome seconds '' >&2
  for stage in build open "${gpu_stages[@]}"; do
    [[ -n ${gpu_outcome[$stage]-} ]] || continue
    printf '%-10s %-12s %9s  %s\n' "$stage" "${gpu_outcome[$stage]}" "${gpu_seconds[$stage]}" "${gpu_note[$stage]}" >&2
    [[ ${gpu_outcome[$stage]} == passed || ${gpu_outcome[$stage]} == skipped ]] || code=1
  done
  printf '\n' >&2
  say "results are in $gpu_folder, logs in $gpu_logs"
  return "$code"
}

gpu() {
  local stage
  export LC_ALL=C # numbers are written for JSON
  gpu_arguments "$@"
  gpu_need
  gpu_find_libraries
  export CUDACXX=$gpu_nvcc
  gpu_title=$(gpu_ask name)
  gpu_folder=$gpu_results/$(tr '[:upper:]' '[:lower:]' <<<"$gpu_title" | sed -E 's/[^a-z0-9]+/-/g; s/^-|-$//g')
  mkdir -p "$gpu_folder" "$gpu_logs"
  [[ -z $gpu_builds ]] || gpu_take build gpu_build_all
  gpu_write_machine
  gpu_take open gpu_stage_open
  for stage in "${gpu_chosen[@]}"; do gpu_take "$stage" "gpu_stage_$stage"; done
  gpu_summary
}

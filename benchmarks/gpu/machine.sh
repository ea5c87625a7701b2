# For checks.sh: what this machine has (compiler, GPU, libraries), and how that and other results are written as JSON.

# shellcheck disable=SC2154 # root, gpu_build, gpu_folder, gpu_title
gpu_skip() {
  say "skipped: $*"
  exit 77
}

# The compiler that CMake will take: gpu_nvcc.
gpu_find_nvcc() {
  local candidate
  for candidate in "${CUDACXX-}" nvcc "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" /usr/local/cuda/bin/nvcc; do
    [[ -n $candidate ]] && gpu_nvcc=$(command -v "$candidate") && return
  done
  return 1
}

# Says everything that is missing at once.
gpu_need() {
  local missing=() tool
  gpu_index=${CUDA_VISIBLE_DEVICES-0}
  gpu_index=${gpu_index%%,*}
  for tool in cmake ninja timeout; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || missing+=("a C++ compiler")
  gpu_find_nvcc || missing+=("nvcc (looked at \$CUDACXX, the PATH, \$CUDA_HOME/bin and /usr/local/cuda/bin)")
  if ! command -v nvidia-smi >/dev/null && ! gpu_ask_torch name >/dev/null; then
    missing+=("an NVIDIA GPU (there is no nvidia-smi, so no driver)")
  elif gpu_line=$(gpu_ask name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.memory) &&
    [[ $gpu_line == *,* ]]; then
    :
  else
    missing+=("an NVIDIA GPU (nvidia-smi shows none with index '$gpu_index': ${gpu_line:-no word why})")
  fi
  [[ ${#missing[@]} -eq 0 ]] && return
  printf -v missing '%s; ' "${missing[@]}"
  gpu_skip "this needs ${missing%; }"
}

gpu_ask() {
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi -i "$gpu_index" --query-gpu="$1" --format=csv,noheader 2>&1
  else
    gpu_ask_torch "$1"
  fi
}

# The same of a PyTorch that sees a GPU: containers may have the driver's libraries without its tools.
gpu_ask_torch() {
  python3 - "$1" 2>/dev/null <<'END_OF_PROGRAM'
import sys
import torch

found = torch.cuda.get_device_properties(0)
known = {"name": found.name, "compute_cap": f"{found.major}.{found.minor}",
         "memory.total": f"{found.total_memory >> 20} MiB"}
print(", ".join(known.get(name, "unknown") for name in sys.argv[1].split(",")))
END_OF_PROGRAM
}

# Python's own cuDNN and cuBLAS are what PyTorch uses on the same machine. cuBLAS's headers are taken from there where the
# toolkit has none.
gpu_find_libraries() {
  if [[ -z ${MNEMO_DEPS_DIR-} && -d $root/.deps ]]; then
    export MNEMO_DEPS_DIR=$root/.deps
    say "headers of other projects come from $MNEMO_DEPS_DIR"
  fi
  local packages folder
  packages=$(python3 -c 'import importlib.util as u
print("\n".join(p for p in u.find_spec("nvidia").submodule_search_locations))' 2>/dev/null) || return 0
  while IFS= read -r folder; do
    for folder in "$folder"/cublas/lib "$folder"/cu[0-9]*/lib; do
      compgen -G "$folder/libcublasLt.so.*" >/dev/null || continue
      export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
      say "cuBLAS is that of Python's packages: $folder"
    done
  done <<<"$packages"
  if [[ -z ${CUDNN_ROOT-} ]]; then
    while IFS= read -r folder; do
      [[ -f $folder/cudnn/include/cudnn_graph.h ]] || continue
      export CUDNN_ROOT=$folder/cudnn
      # First of all: its parts look for each other there before they look beside themselves.
      export LD_LIBRARY_PATH=$CUDNN_ROOT/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
      say "cuDNN is that of Python's packages: $CUDNN_ROOT"
      break
    done <<<"$packages"
  fi
  if ! compgen -G "${gpu_nvcc%/*}/../include/cublasLt.h" >/dev/null &&
    ! compgen -G "${gpu_nvcc%/*}/../targets/*/include/cublasLt.h" >/dev/null; then
    while IFS= read -r folder; do
      for folder in "$folder"/cublas/include "$folder"/cu[0-9]*/include; do
        [[ -f $folder/cublasLt.h ]] || continue
        export CPLUS_INCLUDE_PATH=${CPLUS_INCLUDE_PATH:+$CPLUS_INCLUDE_PATH:}$folder
        say "the headers of cuBLAS are those of Python's packages: $folder"
      done
    done <<<"$packages"
  fi
  return 0
}

# json_text TEXT: as a JSON string.
json_text() {
  local text=$1
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\t'/\\t}
  printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}

# write_object FILE [NAME VALUE]...: one JSON object, whose values are JSON already.
write_object() {
  local file=$1 comma=''
  shift
  {
    printf '{'
    while [[ $# -gt 0 ]]; do
      printf '%s\n  %s: %s' "$comma" "$(json_text "$1")" "$2"
      comma=,
      shift 2
    done
    printf '\n}\n'
  } >"$file"
}

# MNEMO_COMMIT says it where the repository has come without its history.
gpu_commit() {
  git -C "$root" rev-parse HEAD 2>/dev/null || printf '%s' "${MNEMO_COMMIT:-unknown}"
}

# The cuBLAS that programs find first.
gpu_cublas() {
  local folder folders=() file
  IFS=: read -ra folders <<<"${LD_LIBRARY_PATH-}"
  for folder in "${folders[@]}" "${gpu_nvcc%/*}"/../lib* "${gpu_nvcc%/*}"/../targets/*/lib; do
    for file in "$folder"/libcublasLt.so.*; do
      [[ -f $file ]] && realpath "$file" && return
    done
  done
  printf 'unknown'
}

gpu_first_match() { grep -m1 -oP "$1" "${@:2}" 2>/dev/null || printf 'unknown'; }

# The version in the headers that the build was configured with.
gpu_cudnn_version() {
  local folder file level version=''
  folder=$(gpu_first_match '^CudnnHeaders_INCLUDE_DIR:PATH=\K.*' "$gpu_build/CMakeCache.txt")
  for file in "$folder"/cudnn_version_v9.h "$folder"/cudnn_version.h; do
    grep -q '^#define CUDNN_MAJOR' "$file" 2>/dev/null || continue
    for level in MAJOR MINOR PATCHLEVEL; do version+=.$(gpu_first_match "^#define CUDNN_$level \\K[0-9]+" "$file"); done
    printf '%s' "${version#.}"
    return
  done
  printf 'none'
}

gpu_write_machine() {
  local changed=null status
  if status=$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null); then
    changed=$([[ -z $status ]] && echo false || echo true)
  fi
  write_object "$gpu_folder/machine.json" \
    card "$(json_text "$gpu_title")" \
    nvidia_smi "$(json_text "$gpu_line")" \
    driver "$(json_text "$(gpu_ask driver_version)")" \
    driver_cuda "$(json_text "$(nvidia-smi | gpu_first_match 'CUDA Version: \K[0-9.]+' -)")" \
    cuda "$(json_text "$("$gpu_nvcc" --version | gpu_first_match 'V\K[0-9.]+$' -)")" \
    cudnn "$(json_text "$(gpu_cudnn_version)")" \
    cublas "$(json_text "$(gpu_cublas)")" \
    date "$(json_text "$(date -u +%Y-%m-%dT%H:%M:%SZ)")" \
    commit "$(json_text "$(gpu_commit)")" \
    changed_since_commit "$changed" \
    host "$(json_text "$(gpu_first_match '^model name\s*: \K.*' /proc/cpuinfo), $(nproc) cores, $(uname -sr)")" \
    compiler "$(json_text "$("${CXX:-c++}" --version 2>/dev/null | head -1)")"
}

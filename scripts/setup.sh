# Shared by the scripts: installs what is missing, configures and builds. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

build_packages=(g++ cmake ninja-build pkg-config git libopenmpi-dev openmpi-bin libhdf5-dev libdnnl-dev zlib1g-dev
  libcli11-dev libfmt-dev libspdlog-dev libtomlplusplus-dev nlohmann-json3-dev libsodium-dev catch2)
test_packages=(python3 iproute2 python3-h5py python3-numpy hdf5-tools)

# install PACKAGES...: those that dpkg does not know as installed, as root or with sudo.
install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || {
    echo "$0: needs Debian or Ubuntu to install: ${missing[*]}; install them by hand and run this again" >&2
    exit 1
  }
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "$0: run as root, or install sudo, to get: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "Installing: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "$0: the packages above could not be installed" >&2
    exit 1
  fi
  rm -f "$log"
}

# build PRESET [TARGET...]: configures once, then builds what changed.
build() {
  local preset=$1
  shift
  cd "$root" || exit 1
  [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset"
  cmake --build --preset "$preset" ${1:+--target "$@"}
}

# How to start ranks here: root needs leave, and more ranks than cores must be allowed.
mpirun_here=(mpirun --oversubscribe --bind-to none)
if [ "$(id -u)" = 0 ]; then mpirun_here+=(--allow-run-as-root); fi  # not "&&": it is what source returns

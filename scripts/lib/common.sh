# Shared by the shell scripts; to be sourced, with the repository as working directory.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Where the etcd of the wheel lives; the tests and etcd-lab read the same variable.
export ETCD_SNAP_TEST_TOOLS="${ETCD_SNAP_TEST_TOOLS:-$repository/.tools}"

# Ends the script with one line on standard error and, when given, a hint.
die() {
    printf 'error: %s\n' "$1" >&2
    [[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

readonly SPDX_REQUIREMENTS=$repository/scripts/lib/spdx-tools.txt

# Where the validator of SPDX documents is. The directory bears a digest of what is in it: another list installs anew.
spdx_tools() {
    printf '%s/spdx-%s\n' "$ETCD_SNAP_TEST_TOOLS" "$(sha256sum "$SPDX_REQUIREMENTS" | head -c 12)"
}

# The path of etcd, etcdctl or etcdutl 3.5.
etcd_tool() {
    printf '%s\n' "$ETCD_SNAP_TEST_TOOLS/etcd-3.5/$1"
}

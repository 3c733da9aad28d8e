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

# The list of Python packages of a purpose: spdx, the validator of SPDX documents, or s3.
python_requirements() {
    printf '%s/scripts/lib/%s-tools.txt\n' "$repository" "$1"
}

# Where the packages of a list are. The directory bears a digest of what is in it: another list installs anew.
python_tools() {
    printf '%s/%s-%s\n' "$ETCD_SNAP_TEST_TOOLS" "$1" "$(sha256sum "$(python_requirements "$1")" | head -c 12)"
}

spdx_tools() {
    python_tools spdx
}

# The path of etcd, etcdctl or etcdutl 3.5.
etcd_tool() {
    printf '%s\n' "$ETCD_SNAP_TEST_TOOLS/etcd-3.5/$1"
}
